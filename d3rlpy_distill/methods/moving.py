"""Methods that move the samples: where they start, what moves, and by which optimizer."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig

from ..data import OfflineDataset, TransitionArrays
from ..data.allocation import Allocation
from ..data.relabel import relabel
from ..errors import SettingsError, UnsuitableDatasetError
from ..learners.learner import LearnerConfig
from ..options import option
from .base import Run
from .checkpoint import data_fingerprint, weights_fingerprint
from .distilled import Distilled
from .learned import LearnedMethod
from .loop import run_steps
from .start import draw_start
from .synthetic import SyntheticSet, as_monte_carlo, parameter_groups, source_rewards

__all__ = ["MovingMethod", "Objective", "Teaching"]

SHARED_OBSERVATIONS = 10
STEPS = 1000
VECTOR_STEPS = 8000


class Objective(Protocol):
    """What a method minimises, one step after the other."""

    def step(self, samples: SyntheticSet) -> float:
        """Adds its gradient to what is learned of the samples, and returns its value."""
        ...

    def advance(self) -> None:
        """Moves on, once the samples have been moved."""
        ...

    def state(self) -> dict[str, Any]:
        """Returns tensors and numbers from which :meth:`load_state` goes on exactly."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        ...


class Teaching(Protocol):
    """Trains those whose decisions are imitated, one step after the other."""

    @property
    def done(self) -> bool:
        """Whether they are trained."""
        ...

    def step(self) -> float:
        """Takes a step of their training and returns its loss."""
        ...

    def labelled(self) -> TransitionArrays:
        """Returns the real data with their decisions in the place of the actions that were taken."""
        ...

    def state(self) -> dict[str, Any]:
        """Returns tensors and numbers from which :meth:`load_state` goes on exactly."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingMethod(LearnedMethod):
    """Base of the methods that learn observations; a subclass gives the objective.

    Args, beside those of :class:`~.learned.LearnedMethod`:
        allocation: ``"even"`` or ``"frequency"``: how the samples are shared out over the actions.
        shared_observations: None starts each sample from a real transition of its own. K starts all from K real
            observations, each with all actions in the proportions of the whole set: what an observation shows
            then tells nothing of the action until it is moved. For ``DiscreteBCConfig`` only.
        optimizer: ``"sgd"`` or ``"adam"``, on the observations.
        learning_rate: Of the observations: in grey levels of 0 to 255 for pixels (uint8), else in standard
            deviations of each feature.
        label_learning_rate: Of learned actions and rewards, in standard deviations.
        rewards: ``"return_to_go"`` of the real transition that a sample started from (discounted for a
            Q-learner), or ``"learned"``: moved from there, with a Q-learner only, as nothing else reads it.
        learn_actions: Move the actions too; continuous ones only.
        momentum: Of SGD; Adam uses it as its first beta.
        real_batch_size: Real transitions of one step; None takes all there are.
        output_dtype: ``"uint8"`` rounds; only for uint8 data. ``"float32"`` keeps the values.
    """

    allocation: Allocation = option("frequency", "Samples per action.", choices=("even", "frequency"))
    shared_observations: int | None = option(
        None,
        "Start all samples from this many observations, each with all actions; 0: one each.",
        minimum=1,
        off=0,
    )
    optimizer: Literal["sgd", "adam"] = option("adam", "Optimizer of the observations.", choices=("sgd", "adam"))
    learning_rate: float = option(1.0, "Of the observations, in grey levels; of vectors, in deviations.", above=0)
    label_learning_rate: float = option(0.01, "Of learned actions and rewards, in deviations.", above=0)
    rewards: Literal["return_to_go", "learned"] = option(
        "return_to_go",
        "Rewards of the samples; learned ones need a Q-learner.",
        choices=("return_to_go", "learned"),
    )
    learn_actions: bool = option(False, "Move the actions too; continuous ones only.")
    momentum: float = option(0.5, "Of SGD, or Adam's first beta.", minimum=0, below=1)
    real_batch_size: int | None = option(256, "Real transitions of a step.", minimum=1, off=0)
    output_dtype: Literal["uint8", "float32"] = option(
        "uint8", "Of the observations.", choices=("uint8", "float32")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self.learner).__name__
        shared = self.shared_observations
        if shared is not None and shared > self.n_samples:
            raise SettingsError(
                f"shared_observations={shared}: expected 1 to n_samples, {self.n_samples}, or None."
            )
        if shared is not None and not isinstance(self.learner, DiscreteBCConfig):
            raise SettingsError(f"shared_observations with {name}: for DiscreteBCConfig only; leave it None.")
        if self.rewards == "learned" and not self.reads_rewards:
            raise SettingsError(f"rewards='learned' with {name}: its loss reads no rewards; give a Q-learner.")
        if self.learn_actions and not self.continuous:
            raise SettingsError(f"learn_actions with {name}: discrete actions cannot be moved; use BCConfig.")

    @classmethod
    def defaults(cls, dataset: OfflineDataset, learner: LearnerConfig, given: Mapping[str, Any]) -> dict[str, Any]:
        """Images: the sharpened policy on ten shared frames, one grey level a step. Vectors: small steps, float32."""
        common = super().defaults(dataset, learner, given)
        if not dataset.has_images:
            return {
                **common,
                "steps": VECTOR_STEPS,
                "learning_rate": 0.02,
                "momentum": 0.9,
                "learn_actions": isinstance(learner, BCConfig),
                "output_dtype": "float32",
            }
        shared = isinstance(learner, DiscreteBCConfig)
        n_samples = given.get("n_samples", cls.n_samples)
        return {
            **common,
            "shared_observations": min(SHARED_OBSERVATIONS, n_samples) if shared else None,
            "output_dtype": "uint8" if dataset.has_pixels else "float32",
        }

    @property
    def total_steps(self) -> int:
        """``steps``, 1000 by default."""
        return STEPS if self.steps is None else self.steps

    @abc.abstractmethod
    def objective(
        self, data: TransitionArrays, samples: SyntheticSet, rng: np.random.Generator, device: str
    ) -> Objective:
        """Returns what the method minimises.

        Args:
            data: The real data.
            samples: The samples where they start.
            rng: Draws batches and networks.
            device: torch device.
        """

    def imitated(
        self,
        dataset: OfflineDataset,
        data: TransitionArrays,
        rows: npt.NDArray[np.int64],
        rng: np.random.Generator,
    ) -> TransitionArrays:
        """Returns the data with what is imitated in the place of the actions that were taken.

        Args:
            dataset: All that is known.
            data: What is to be distilled of it.
            rows: Which transitions these are.
            rng: Draws actions.
        """
        if self.sharpness is None:
            return data
        return relabel(data, self.behaviour(dataset, rows), self.sharpness, rng)

    def teaching(
        self, dataset: OfflineDataset, data: TransitionArrays, rng: np.random.Generator, device: str
    ) -> Teaching | None:
        """Returns the training of those whose decisions are imitated; None where nobody has to be trained first.

        Args:
            dataset: All that is known.
            data: What is to be distilled of it.
            rng: Draws initialisations and batches.
            device: torch device.
        """
        return None

    def given_weights(self) -> Mapping[str, torch.Tensor] | None:
        """Returns the weights that the method works at, where it is given some."""
        return None

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Moves the samples; see :meth:`~.base.Method.distill`. They come out grouped by action."""
        if self.output_dtype == "uint8" and not dataset.has_pixels:
            dtype = dataset.transitions.observations.dtype
            raise UnsuitableDatasetError(
                f"observations of type {dtype} cannot come out as uint8: set output_dtype='float32'."
            )
        data, rows = self.select(dataset)
        data = self.imitated(dataset, data, rows, rng)
        rewards = source_rewards(self.learner, data)
        if self.reads_rewards:
            data = as_monte_carlo(data, rewards)
        index, actions = draw_start(data, self.n_samples, self.allocation, rng, self.shared_observations)
        learned = ["observations", *(["actions"] if self.learn_actions else [])]
        if self.rewards == "learned":
            learned.append("rewards")
        start = _Start(self, index, actions, rewards, learned, rng, run.device)
        teaching = self.teaching(dataset, data, rng, run.device)
        process = start.moving(data) if teaching is None else _Taught(teaching, start)
        identity = {
            "config": self.to_json(),
            "data": data_fingerprint(data),
            "weights": weights_fingerprint(self.given_weights()),
            "rng": str(rng.bit_generator.state),
        }
        run_steps(process, self.total_steps, rng, run, identity)
        samples = process.samples
        initial = TransitionArrays.one_step(
            data.observations[index], samples.initial_actions, rewards[index], data.action_size
        )
        return Distilled(samples.to_transitions(self.output_dtype), sources=rows[index], initial=initial)

    def optimizer_of(self, samples: SyntheticSet) -> torch.optim.Optimizer:
        groups = parameter_groups(samples.parameters, self.learning_rate, self.label_learning_rate)
        if self.optimizer == "sgd":
            return torch.optim.SGD(groups, self.learning_rate, momentum=self.momentum)
        return torch.optim.Adam(groups, self.learning_rate, betas=(self.momentum, 0.999))


@dataclasses.dataclass(frozen=True)
class _Start:
    """Where the samples start: what makes a process of them, once what they imitate is known."""

    method: MovingMethod
    index: npt.NDArray[np.int64]
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float32]
    learned: Sequence[str]
    rng: np.random.Generator
    device: str

    def moving(self, data: TransitionArrays) -> _Moving:
        """Samples with the actions that were drawn."""
        method = self.method
        samples = SyntheticSet(
            data, self.index, self.actions, self.rewards, learned=self.learned, device=self.device
        )
        objective = method.objective(data, samples, self.rng, self.device)
        return _Moving(samples, method.optimizer_of(samples), objective)

    def taught(self, labelled: TransitionArrays) -> _Moving:
        """Samples with the actions of data that was labelled since."""
        return dataclasses.replace(self, actions=labelled.actions[self.index]).moving(labelled)


class _Moving:
    """Samples, their optimizer and an objective as one process."""

    def __init__(self, samples: SyntheticSet, optimizer: torch.optim.Optimizer, objective: Objective) -> None:
        self.samples, self._optimizer, self._objective = samples, optimizer, objective

    def step(self) -> float:
        self._optimizer.zero_grad()
        loss = self._objective.step(self.samples)
        self._optimizer.step()
        self.samples.clamp()
        self._objective.advance()
        return loss

    def state(self) -> dict[str, Any]:
        return {
            "samples": self.samples.state(),
            "optimizer": self._optimizer.state_dict(),
            "objective": self._objective.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.samples.load_state(state["samples"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._objective.load_state(state["objective"])


class _Taught:
    """Teachers, then samples that move to what they say, as one process."""

    def __init__(self, teaching: Teaching, start: _Start) -> None:
        self._teaching, self._start = teaching, start
        self._moving: _Moving | None = None

    @property
    def samples(self) -> SyntheticSet:
        return self._begun().samples

    def step(self) -> float:
        return self._begun().step() if self._teaching.done else self._teaching.step()

    def state(self) -> dict[str, Any]:
        moving = None if self._moving is None else self._moving.state()
        return {"teaching": self._teaching.state(), "moving": moving}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._teaching.load_state(state["teaching"])
        if state["moving"] is not None:
            self._begun().load_state(state["moving"])

    def _begun(self) -> _Moving:
        if self._moving is None:
            self._moving = self._start.taught(self._teaching.labelled())
        return self._moving
