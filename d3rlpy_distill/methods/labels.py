"""Label distillation: real observations with soft labels that students of all the data have agreed on."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from d3rlpy.algos import BCConfig, DiscreteBCConfig

from ..data import OfflineDataset, TransitionArrays
from ..data.relabel import sharpen
from ..errors import SettingsError
from ..learners.convergence import ConvergenceConfig
from ..options import option
from ..students.teachers import Teachers
from .base import Phase, Run
from .checkpoint import data_fingerprint
from .distilled import Distilled
from .k_center import k_center
from .learned import LearnedMethod
from .loop import run_steps
from .start import draw_start
from .teaching import TeacherTraining

__all__ = ["LabelDistillationConfig", "far_apart"]

SMALLEST = 1e-6  # probability that is told from 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelDistillationConfig(LearnedMethod):
    r"""Give few real observations the soft labels of students of all the data.

    The observations are real ones and stay as they are; what is distilled are their labels. Teachers, which are
    students of the learner's configuration, train on all the real data, one after the other. Those observations
    are chosen whose labels cover all labels (greedy k-center on their logarithms); a label is the mean of the
    teachers' policies:

    .. math::

        q(a|s) = \frac{1}{T} \sum_t \pi_{\theta_t}(a|s), \quad
        \theta_t = \arg\min_\theta - \sum_{s \in D_\mathrm{real}} \sum_a p_\kappa(a|s) \log \pi_\theta(a|s)

    where :math:`p_\kappa` is the behaviour policy to the power ``sharpness``, or, without one, the action that was
    taken. A teacher is no better than the network that is to learn from it, and that is the point: its policy is
    one that a student can fit on few observations, which neither a drawn action nor the expert's own policy is.

    ``steps`` counts all teachers' steps: T x ``teacher_steps`` give T of them.

    References:
        * `Bohdal et al., Flexible Dataset Distillation: Learn Labels Instead of Images
          <https://arxiv.org/abs/2006.08572>`_
        * `Qin et al., A Label is Worth a Thousand Images in Dataset Distillation
          <https://arxiv.org/abs/2406.10485>`_
        * `Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach (k-center)
          <https://arxiv.org/abs/1708.00489>`_

    Args, beside those of :class:`~.learned.LearnedMethod`:
        teacher_steps: Steps of each teacher, over which its learning rate is annealed to zero.
        n_teachers: How many, T.
        held_out: Fraction of the episodes that a teacher does not see; its weights with the lowest loss there
            are kept.
        given: Teachers of an earlier distillation of the same data; none are trained then.
    """

    labels: ClassVar[str] = "soft"
    seeds_teachers_alone: ClassVar[bool] = True
    """Whether a seed decides who the teachers are and nothing else, so that given ones have to be of that seed."""

    steps: int | None = option(None, "Steps of all teachers together.", minimum=0)
    teacher_steps: int = option(1000, "Steps of each teacher.", minimum=1)
    n_teachers: int = option(3, "Teachers.", minimum=1)
    held_out: float = option(0.1, "Fraction of the episodes that a teacher does not see.", above=0, below=1)
    given: Teachers | None = dataclasses.field(default=None, repr=False, compare=False, metadata={"json": False})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.learner, DiscreteBCConfig):
            name = type(self.learner).__name__
            instead = " Continuous actions have the methods 'kernel-actions' and 'unrolled'."
            raise SettingsError(
                f"label distillation with {name}: for DiscreteBCConfig only."
                f"{instead if isinstance(self.learner, BCConfig) else ''}"
            )
        if self.given is not None and self.steps:
            raise SettingsError(f"steps={self.steps} with given teachers: expected 0 or None, none are trained.")

    @property
    def further_steps(self) -> int:
        """Steps that come after those of the teachers."""
        return 0

    @property
    def option_steps(self) -> int:
        """``steps``, or those of all teachers; 0 where they are given."""
        if self.given is not None:
            return 0
        return self.n_teachers * self.teacher_steps if self.steps is None else self.steps

    @property
    def total_steps(self) -> int:
        """Those of the teachers, and those that come after."""
        return self.option_steps + self.further_steps

    def phases(self) -> list[Phase]:
        """Those of the teachers, and those that come after."""
        teaching = self.option_steps
        soon = dataclasses.replace(self, steps=min(1, teaching)) if teaching else self
        parts = [Phase(self, 0, teaching), Phase(soon, min(1, teaching), self.further_steps)]
        return [part for part in parts if part.steps]

    @property
    def convergence(self) -> ConvergenceConfig:
        """How a teacher trains."""
        return ConvergenceConfig(self.teacher_steps, self.held_out, check_every=min(100, self.teacher_steps))

    def imitated(self, dataset: OfflineDataset) -> tuple[TransitionArrays, npt.NDArray[np.int64]]:
        """Returns the transitions to distil, with what teachers imitate where that is no action, and their indices."""
        data, rows = self.select(dataset)
        if self.sharpness is not None:
            soft = sharpen(self.behaviour(dataset, rows), self.sharpness).astype(np.float32)
            data = dataclasses.replace(data, probabilities=soft)
        return data, rows

    def teaching(self, data: TransitionArrays, rng: np.random.Generator, device: str) -> TeacherTraining:
        """Returns the training of the teachers on the data."""
        return TeacherTraining(self.learner, self.convergence, data, rng, device)

    def taught(self, training: TeacherTraining, data: TransitionArrays, device: str) -> Teachers | None:
        """Returns the teachers trained so far; None before the first step."""
        weights = training.weights()
        if not weights:
            return None
        assert isinstance(self.learner, DiscreteBCConfig)
        return Teachers(self.learner, weights, data.observations.shape[1:], data.action_size, device=device)

    def teach(self, data: TransitionArrays, rng: np.random.Generator, run: Run) -> Teachers | None:
        """Trains the teachers, or returns those that are given; None after no step at all."""
        training = self.teaching(data, rng, run.device)
        identity = {"config": self.to_json(), "data": data_fingerprint(data), "rng": str(rng.bit_generator.state)}
        run_steps(training, self.total_steps, rng, run, identity)
        return self.given or self.taught(training, data, run.device)

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Trains the teachers and labels the samples; see :meth:`~.base.Method.distill`.

        The samples' ``actions`` are those taken. Without a step and without given teachers they are a random subset
        that has no soft labels.
        """
        data, rows = self.imitated(dataset)
        # drawn before the teachers, though they replace it: a seed gives what it gave in version 0.1
        index, _ = draw_start(data, self.n_samples, "frequency", rng)
        teachers = self.teach(data, rng, run)
        plain = dataclasses.replace(data, probabilities=None)
        if teachers is None:
            return Distilled(plain.take(index), sources=rows[index])
        index = far_apart(teachers.label(data.observations), self.n_samples)
        samples = plain.take(index)
        labelled = dataclasses.replace(samples, probabilities=teachers.label(samples.observations))
        return Distilled(labelled, sources=rows[index], teachers=teachers)


def far_apart(labels: npt.NDArray[np.float32], n_samples: int) -> npt.NDArray[np.int64]:
    """Chooses by greedy k-center on the logarithms: unlike policies tie a student down better than many alike.

    Args:
        labels: A policy for each observation, ``(N, A)``.
        n_samples: 1 to N.

    Returns:
        Indices in the order of choice, ``(n_samples,)``.
    """
    return k_center(np.log(np.maximum(labels, SMALLEST)), n_samples)
