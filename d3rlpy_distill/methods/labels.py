"""Label distillation: real observations with soft labels that students of all the data have agreed on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import BCConfig, DiscreteBC, DiscreteBCConfig

from ..data import OfflineDataset, TransitionArrays
from ..data.relabel import sharpen
from ..errors import SettingsError
from ..learners.convergence import ConvergenceConfig, ConvergenceRun
from ..learners.gradients import MAX_DEAD, all_dead, is_dead, real_gradient
from ..learners.learner import learner_network
from ..options import option
from ..students.teachers import Teachers
from .base import Run
from .checkpoint import data_fingerprint
from .distilled import Distilled
from .k_center import k_center
from .learned import LearnedMethod
from .loop import run_steps
from .start import draw_start

__all__ = ["LabelDistillationConfig", "TeacherTraining", "far_apart"]

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
    def total_steps(self) -> int:
        """``steps``, or those of all teachers; 0 where they are given."""
        if self.given is not None:
            return 0
        return self.n_teachers * self.teacher_steps if self.steps is None else self.steps

    @property
    def convergence(self) -> ConvergenceConfig:
        """How a teacher trains."""
        return ConvergenceConfig(self.teacher_steps, self.held_out, check_every=min(100, self.teacher_steps))

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Trains the teachers and labels the samples; see :meth:`~.base.Method.distill`.

        The samples' ``actions`` are those taken. Without a step and without given teachers they are a random subset
        that has no soft labels.
        """
        data, rows = self.select(dataset)
        if self.sharpness is not None:
            soft = sharpen(self.behaviour(dataset, rows), self.sharpness).astype(np.float32)
            data = dataclasses.replace(data, probabilities=soft)
        # drawn before the teachers, though they replace it: a seed gives what it gave in version 0.1
        index, _ = draw_start(data, self.n_samples, "frequency", rng)
        training = TeacherTraining(self, data, rng, run.device)
        identity = {"config": self.to_json(), "data": data_fingerprint(data), "rng": str(rng.bit_generator.state)}
        run_steps(training, self.total_steps, rng, run, identity)
        teachers = self.given or training.teachers()
        plain = dataclasses.replace(data, probabilities=None)
        if teachers is None:
            return Distilled(plain.take(index), sources=rows[index])
        index = far_apart(teachers.label(data.observations), self.n_samples)
        samples = plain.take(index)
        labelled = dataclasses.replace(samples, probabilities=teachers.label(samples.observations))
        return Distilled(labelled, sources=rows[index], teachers=teachers)


class TeacherTraining:
    """The teachers of :class:`LabelDistillationConfig`, one after the other.

    Args:
        config: Its configuration.
        data: The real data.
        rng: Draws initialisations, held-out episodes and batches.
        device: torch device.
    """

    def __init__(
        self, config: LabelDistillationConfig, data: TransitionArrays, rng: np.random.Generator, device: str
    ) -> None:
        self._config, self._data, self._rng, self._device = config, data, rng, device
        self._finished: list[dict[str, torch.Tensor]] = []
        self._run: ConvergenceRun | None = None  # begun by a step: given teachers need none

    def step(self) -> float:
        """Takes a step of the present teacher and returns its loss."""
        if self._run is None:
            self._run = self._begin()
        loss = self._run.step()
        if self._run.done:
            self._finished.append(_weights(self._run.finish()))
            self._run = None
        return loss

    def teachers(self) -> Teachers | None:
        """Returns those trained so far, the present one as it is; None before the first step."""
        trained = [*self._finished, *([] if self._run is None else [_weights(self._run.finish())])]
        if not trained:
            return None
        shape, config = self._data.observations.shape[1:], self._config.learner
        assert isinstance(config, DiscreteBCConfig)
        return Teachers(config, trained, shape, self._data.action_size, device=self._device)

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {"finished": self._finished, "run": None if self._run is None else self._run.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._finished = list(state["finished"])
        if state["run"] is not None:
            self._run = self._begin()
            self._run.load_state(state["run"])

    def _begin(self) -> ConvergenceRun:
        """A new teacher, of an initialisation that learns."""
        config = self._config
        for _ in range(MAX_DEAD):
            run = ConvergenceRun(
                config.learner,
                self._data,
                config.convergence,
                seed=int(self._rng.integers(2**63)),
                rng=self._rng,
                device=self._device,
            )
            batch = self._rng.integers(len(self._data), size=config.learner.batch_size)
            if not is_dead(real_gradient(run.learner, self._data, batch)):
                return run
        raise all_dead()


def far_apart(labels: npt.NDArray[np.float32], n_samples: int) -> npt.NDArray[np.int64]:
    """Chooses by greedy k-center on the logarithms: unlike policies tie a student down better than many alike.

    Args:
        labels: A policy for each observation, ``(N, A)``.
        n_samples: 1 to N.

    Returns:
        Indices in the order of choice, ``(n_samples,)``.
    """
    return k_center(np.log(np.maximum(labels, SMALLEST)), n_samples)


def _weights(learner: DiscreteBC) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in learner_network(learner).state_dict().items()}
