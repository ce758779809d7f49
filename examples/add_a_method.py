"""A method in one file: real observations with noise, and the actions that were taken.

    rld-distill distill data/starpilot.h5 --plugin examples/add_a_method.py --method noisy --noise 8 --out noisy.h5

The fields made by ``option`` are the command's options.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from d3rlpy_distill import Distilled, Method, OfflineDataset, Run, TransitionArrays, option, register_method


@register_method("noisy")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisyConfig(Method):
    """Random transitions whose observations get Gaussian noise."""

    noise: float = option(4.0, "Deviation of the noise, in the observations' units.", minimum=0)

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Draws transitions, adds noise, and keeps what they were before beside them."""
        data = dataset.transitions
        index = np.sort(rng.choice(len(data), self.n_samples, replace=False))
        start = data.take(index)
        moved = start.observations + self.noise * rng.standard_normal(start.observations.shape)
        if dataset.has_pixels:
            moved = np.clip(np.rint(moved), 0, 255)
        observations = moved.astype(start.observations.dtype)
        samples = TransitionArrays.one_step(observations, start.actions, start.rewards, start.action_size)
        return Distilled(samples, sources=index, initial=start)
