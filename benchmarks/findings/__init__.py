"""Every figure of the findings that no table of results gives."""
