"""Label distillation: real observations with soft labels that students of all the data have agreed on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import DiscreteBC, DiscreteBCConfig

from ..convergence import ConvergenceConfig, ConvergenceRun
from ..learner import learner_network
from ..relabel import sharpen
from ..selection.geometric import k_center
from ..teachers import Teachers
from ..transitions import TransitionArrays
from .family import DistillationConfig, Objective
from .gradients import MAX_DEAD, all_dead, is_dead, real_gradient
from .synthetic import SyntheticSet

__all__ = ["LabelDistillationConfig", "LabelObjective", "far_apart"]

SMALLEST = 1e-6  # probability that is told from 0


@dataclasses.dataclass(frozen=True)
class LabelDistillationConfig(DistillationConfig):
    r"""Config of label distillation.

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

    ``fit`` counts all teachers' steps: T x ``teacher_steps`` give T of them.

    References:
        * `Bohdal et al., Flexible Dataset Distillation: Learn Labels Instead of Images
          <https://arxiv.org/abs/2006.08572>`_
        * `Qin et al., A Label is Worth a Thousand Images in Dataset Distillation
          <https://arxiv.org/abs/2406.10485>`_
        * `Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach (k-center)
          <https://arxiv.org/abs/1708.00489>`_

    Args, beside those of :class:`~.family.DistillationConfig` (those of moving observations have no effect):
        teacher_steps: Steps of each teacher, over which its learning rate is annealed to zero.
        held_out: Fraction of the episodes that a teacher does not see; its weights with the lowest loss there
            are kept.
    """

    POSITIVE: ClassVar[tuple[str, ...]] = ("n_samples", "teacher_steps")

    teacher_steps: int = 1000
    held_out: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.learner, DiscreteBCConfig):
            raise ValueError(f"label distillation with {type(self.learner).__name__}: for DiscreteBCConfig only.")
        if self.shared_observations is not None:
            raise ValueError("shared_observations with label distillation: each observation has its own label.")
        self.convergence  # noqa: B018  (refuses a fraction out of range)

    @property
    def convergence(self) -> ConvergenceConfig:
        """How a teacher trains."""
        return ConvergenceConfig(self.teacher_steps, self.held_out, check_every=min(100, self.teacher_steps))

    @property
    def takes_teachers(self) -> bool:
        """True: ``create(teachers=...)`` labels other samples of the same data with them."""
        return True

    def with_targets(
        self, data: TransitionArrays, probabilities: npt.NDArray[np.floating[Any]], rng: np.random.Generator
    ) -> TransitionArrays:
        """Returns the real data with the sharpened policy as soft labels; the actions stay those taken."""
        assert self.sharpness is not None
        soft = sharpen(probabilities, self.sharpness).astype(np.float32)
        return dataclasses.replace(data, probabilities=soft)

    def create_objective(
        self,
        data: TransitionArrays,
        samples: SyntheticSet,
        rng: np.random.Generator,
        device: str,
        weights: Mapping[str, torch.Tensor] | None,
    ) -> Objective:
        """Returns the teachers' loss."""
        return LabelObjective(self, data, rng, device)


class LabelObjective:
    """See :class:`LabelDistillationConfig`.

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

    def step(self, samples: SyntheticSet) -> float:
        """Takes a step of the present teacher and returns its loss; the samples do not move."""
        if self._run is None:
            self._run = self._begin()
        return self._run.step()

    def advance(self) -> None:
        """Is done with a teacher that has taken all its steps."""
        if self._run is not None and self._run.done:
            self._finished.append(_weights(self._run.finish()))
            self._run = None

    def finish(self, samples: SyntheticSet) -> None:
        """Gives the samples their teachers, and chooses them by those; without a step only given ones."""
        data = self._data
        trained = [*self._finished, *([] if self._run is None else [_weights(self._run.finish())])]
        if trained:
            config, shape = self._config.learner, data.observations.shape[1:]
            assert isinstance(config, DiscreteBCConfig)
            samples.teachers = Teachers(config, trained, shape, data.action_size, device=self._device)
        if samples.teachers is None:
            return
        index = far_apart(samples.teachers.label(data.observations), len(samples.index))
        samples.restart(index, data.actions[index])

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
