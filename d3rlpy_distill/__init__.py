"""Dataset distillation for offline RL, as a d3rlpy plugin."""
