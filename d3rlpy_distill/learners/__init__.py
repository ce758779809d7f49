"""d3rlpy's learners on arrays: their networks, losses and optimizers, and how they are trained fast."""
