"""Integer actions in the place of soft labels: few observations, each with several actions."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np

from ..data import OfflineDataset, TransitionArrays
from ..data.allocation import deal_labels
from ..errors import SettingsError
from ..options import option
from .base import Run
from .distilled import Distilled
from .given import GivenSamplesMethod

__all__ = ["HardLabelsConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardLabelsConfig(GivenSamplesMethod):
    r"""Give few real observations the labels of students of all the data, as integer actions.

    d3rlpy's ``DiscreteBC`` clones integers, and no distributions. So ``n_observations`` K of the M samples'
    observations differ, and each of them stands in the set :math:`n_k` times, M / K rounded up or down, with the
    actions :math:`a` of its teachers' label :math:`q(a|s)` in its proportions
    (:func:`~..data.allocation.deal_labels`). A student's loss on the set is then that on the K soft labels:

    .. math::

        - \sum_{k=1}^{K} \sum_a \frac{n_{ka}}{M} \log \pi_\theta(a|s_k), \quad
        \big| n_{ka} - n_k \, q(a|s_k) \big| \le 1

    Teachers are those of :class:`~.labels.LabelDistillationConfig`, trained or given, and observations are random; or
    both observations and labels are those of a set that was distilled before.

    Args, beside those of :class:`~.labels.LabelDistillationConfig`:
        n_observations: How many different observations, K; more than ``n_samples`` counts as ``n_samples``.
        begin: ``"random"`` observations, or the samples of a ``"given"`` set.
        given_samples: What ``begin="given"`` begins from: K samples with soft labels, at most ``n_samples``; K is
            then ``n_observations``.
    """

    labels: ClassVar[str] = "actions"

    n_observations: int = option(30, "Different observations.", minimum=1)
    begin: Literal["random", "given"] = option(
        "random",
        "Observations that are labelled; given: the samples of --teachers, with their labels.",
        choices=("random", "given"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_given(self.begin)
        given = self.given_samples
        if given is not None and len(given) > self.n_samples:
            raise SettingsError(
                f"n_samples={self.n_samples}, and the given set has {len(given)} samples: expected at least as many, "
                "and better several times as many."
            )
        if given is not None and len(given) != self.n_observations:
            raise SettingsError(
                f"n_observations={self.n_observations}, and the given set has {len(given)} samples, each of which is "
                "an observation: leave it out."
            )

    @property
    def option_steps(self) -> int:
        """Those of the teachers; 0 where the samples are given, which have their labels."""
        return 0 if self.given_samples is not None else super().option_steps

    @classmethod
    def of_given(cls, samples: Distilled) -> dict[str, Any]:
        """See :meth:`~.given.GivenSamplesMethod.of_given`."""
        return {"given_samples": samples, "n_observations": len(samples)}

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Trains the teachers and deals their actions; see :meth:`~.base.Method.distill`.

        A sample's reward is the return-to-go of its observation, whichever its action: such a set is for cloning, and
        says nothing of actions to what learns values. The teachers are not kept: there are no soft labels that they
        could explain.
        """
        if self.given_samples is not None:
            return self._dealt(self.given_samples, rng)
        data, rows = self.imitated(dataset)
        teachers = self.teach(data, rng, run)
        if teachers is None:
            raise SettingsError("steps=0 without given teachers: nobody labels; expected 1 or more.")
        chosen = rng.choice(len(data), min(self.n_observations, self.n_samples), replace=False)
        samples = data.take(chosen)
        labelled = dataclasses.replace(samples, probabilities=teachers.label(samples.observations))
        return self._dealt(Distilled(labelled, sources=rows[chosen]), rng)

    def _dealt(self, soft: Distilled, rng: np.random.Generator) -> Distilled:
        assert soft.samples.probabilities is not None
        rows, actions = deal_labels(soft.samples.probabilities, self.n_samples, rng)

        def dealt(observed: TransitionArrays) -> TransitionArrays:
            return dataclasses.replace(observed.take(rows), probabilities=None, actions=actions)

        return Distilled(
            dealt(soft.samples),
            sources=None if soft.sources is None else soft.sources[rows],
            initial=None if soft.initial is None else dealt(soft.initial),
        )
