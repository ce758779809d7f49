"""The rld-distill command line."""
