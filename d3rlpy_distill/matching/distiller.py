"""The distiller: dataset in, synthetic dataset out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.dataset import ReplayBuffer, ReplayBufferBase

from ..errors import UnsuitableDatasetError
from ..learner import is_value_based
from ..relabel import transition_probabilities
from ..scalers import fit_scalers
from ..selection import best_episodes
from ..teachers import Teachers
from ..transitions import TransitionArrays, one_step_buffer
from .checkpoint import data_fingerprint, load_checkpoint, save_checkpoint, weights_fingerprint
from .family import DistillationConfig
from .start import draw_start
from .synthetic import SyntheticSet, as_monte_carlo, source_rewards

__all__ = ["Distiller"]


class Distiller:
    """Distils by the method of its configuration, for example :class:`~.config.GradientMatchingConfig`.

    After :meth:`fit`, ``source_index`` holds the real transition that each sample started from, int64 ``(M,)``,
    ``initial`` those transitions as a buffer, and ``teachers`` the policy whose soft labels the samples are to be
    imitated with, where the method gives them such labels.

    Args:
        config: Its configuration.
        device: torch device.
        weights: State of the network, where the method works at given weights.
        given_teachers: Teachers, where the method does not have to train any.
    """

    source_index: npt.NDArray[np.int64]
    initial: ReplayBuffer
    teachers: Teachers | None

    def __init__(
        self,
        config: DistillationConfig,
        device: str,
        weights: Mapping[str, torch.Tensor] | None,
        given_teachers: Teachers | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self._weights = weights
        self._given_teachers = given_teachers

    def fit(
        self,
        dataset: ReplayBufferBase,
        n_steps: int,
        *,
        probabilities: npt.NDArray[np.floating[Any]] | None = None,
        checkpoint: Path | None = None,
        checkpoint_interval: int = 50,
        on_step: Callable[[int, float], None] | None = None,
    ) -> ReplayBuffer:
        """Distills a dataset.

        Args:
            dataset: Any d3rlpy buffer with one array as observation and actions of the learner's kind. Scalers of
                the learner that are not fitted yet are fitted to it, as d3rlpy's ``fit`` does.
            n_steps: Steps of the optimizer on the observations; 0 returns the initialisation.
            probabilities: The behaviour policy's action probabilities at every step of every episode, ``(S, A)``;
                if and only if the configuration has a sharpness.
            checkpoint: File to keep the state in. If it exists, the run goes on from there, to the same bytes
                as a run that was not interrupted; it is removed at the end.
            checkpoint_interval: Steps between two checkpoints.
            on_step: Called with the step just taken (from 1) and its loss.

        Returns:
            ``n_samples`` one-step terminal episodes, grouped by action. The reward is that of
            :func:`~.synthetic.source_rewards` for the real transition that the sample started from, unless
            rewards are learned.

        Raises:
            UnsuitableDatasetError: If the dataset is too small or not of the supported kind.
            CheckpointError: If the checkpoint belongs to something else, another ``n_steps`` included.
        """
        if n_steps < 0:
            raise ValueError(f"n_steps={n_steps}: expected 0 or more.")
        if self._given_teachers is not None and n_steps:
            raise ValueError(f"n_steps={n_steps} with given teachers: expected 0, none are trained.")
        config = self.config
        if (probabilities is not None) != (config.sharpness is not None):
            raise ValueError(
                f"probabilities {'missing' if probabilities is None else 'given'} with "
                f"sharpness={config.sharpness}: give them to fit() if and only if there is a sharpness."
            )
        everything = TransitionArrays.from_buffer(dataset)
        _check_suitable(config, everything)
        fit_scalers(config.learner, dataset)
        data, rows = everything, np.arange(len(everything))
        if config.percent is not None:
            kept = np.isin(everything.episodes, best_episodes(dataset, config.percent))
            data, rows = everything.whole_episodes(kept), np.flatnonzero(kept)
            if len(data) < config.n_samples:
                raise UnsuitableDatasetError(
                    f"percent={config.percent:g} leaves {len(data)} of {len(everything)} transitions: expected at "
                    f"least n_samples={config.n_samples}; give a larger percentage or fewer samples."
                )
        rng = np.random.default_rng(config.seed)
        if probabilities is not None:
            data = config.with_targets(data, transition_probabilities(dataset, data, probabilities), rng)
        rewards = source_rewards(config, data)
        if is_value_based(config.learner):
            data = as_monte_carlo(data, rewards)
        synthetic = SyntheticSet(config, data, *draw_start(config, data, rng), self.device)
        synthetic.teachers = self._given_teachers
        optimizer = synthetic.optimizer()
        objective = config.create_objective(data, synthetic, rng, self.device, self._weights)

        identity: dict[str, Any] = {}
        done = 0
        if checkpoint is not None:
            identity = {
                "config": config.to_json(),
                "data": data_fingerprint(data),
                "n_steps": n_steps,
                "weights": weights_fingerprint(self._weights),
            }
            if checkpoint.exists():
                state = load_checkpoint(checkpoint, identity)
                done = int(state["step"])
                synthetic.load_state(state["samples"])
                optimizer.load_state_dict(state["optimizer"])
                objective.load_state(state["objective"])
                rng.bit_generator.state = json.loads(state["rng"])
        for step in range(done + 1, n_steps + 1):
            optimizer.zero_grad()
            loss = objective.step(synthetic)
            optimizer.step()
            synthetic.clamp()
            objective.advance()
            if on_step is not None:
                on_step(step, loss)
            if checkpoint is not None and (step % checkpoint_interval == 0 and step < n_steps):
                state = {
                    "step": step,
                    "samples": synthetic.state(),
                    "optimizer": optimizer.state_dict(),
                    "objective": objective.state(),
                    "rng": json.dumps(rng.bit_generator.state),
                }
                save_checkpoint(checkpoint, identity, state)
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        objective.finish(synthetic)
        self.teachers, self.source_index = synthetic.teachers, rows[synthetic.index]
        self.initial = one_step_buffer(
            data.observations[synthetic.index],
            synthetic.initial_actions,
            rewards[synthetic.index],
            data.action_size,
        )
        return synthetic.to_buffer()


def _check_suitable(config: DistillationConfig, data: TransitionArrays) -> None:
    if config.output_dtype == "uint8" and data.observations.dtype != np.uint8:
        raise UnsuitableDatasetError(
            f"observations of type {data.observations.dtype} cannot come out as uint8: set output_dtype='float32'."
        )
    if data.discrete == config.continuous:
        kind, wanted = ("discrete", "DiscreteBCConfig, DQNConfig or DiscreteCQLConfig") if data.discrete else (
            "continuous", "BCConfig")  # fmt: skip
        raise UnsuitableDatasetError(
            f"the dataset's actions are {kind} and the learner is {type(config.learner).__name__}: "
            f"give a learner for {kind} actions, {wanted}."
        )
