"""What students of the samples are measured against: whose decisions, and on which real states the most."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import BCConfig
from typing_extensions import Self

from ..data import OfflineDataset, TransitionArrays
from ..data.mapped import in_pieces
from ..errors import SettingsError, UnsuitableDatasetError
from ..options import option
from ..policies import ContinuousPolicy
from ..students.base import Student
from .base import Expert, Phase
from .moving import MovingMethod
from .student_teaching import StudentTeaching

__all__ = [
    "DecisionMethod",
    "RealRows",
    "ValuedPolicy",
    "density_weights",
    "policy_actions",
    "value_weights",
]

NEIGHBOUR = 10
REFERENCES = 4096
PIECE = 1024
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "pbc": {"imitate": "policy"},
    "av-pbc": {"imitate": "policy", "weighting": "value"},
    "sdw": {"imitate": "policy", "weighting": "density"},
    "percentile": {"imitate": "students", "teacher_percent": 10.0},
}


@runtime_checkable
class ValuedPolicy(Protocol):
    """A policy of continuous actions that also knows what actions are worth.

    ``values`` maps observations ``(B, ...)`` and actions ``(B, D)`` to action values, float32 ``(B,)``.
    """

    def actions(self, observations: torch.Tensor) -> torch.Tensor: ...

    def values(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecisionMethod(MovingMethod):
    r"""Base of the methods that fit students to decisions on the real states.

    Their objective is a weighted mean over the real states of how far a student of the samples, theta, decides from a
    policy:

    .. math::

        \sum_i w_i \, \lVert \pi_\theta(s_i) - a_i \rVert^2 \Big/ \sum_i w_i

    ``imitate`` gives the decisions. ``"recorded"``: :math:`a_i` was taken (DBC of arXiv 2410.22728). ``"policy"``:
    :math:`a_i = \pi^*(s_i)` is what another policy does there, an expert's or that of offline reinforcement learning
    on the same data (PBC). ``"students"``: :math:`a_i` is the mean of what students of the real data do there. They
    train first, with the same network as those that are to learn from the samples, so that what is to be learned is
    a function that such a network is. With ``teacher_percent`` they are students of the best episodes alone, and say
    what they would do on the others' states, too: percentile behaviour cloning is distilled.

    ``weighting`` gives the weights. ``"even"``: 1. ``"value"``: :math:`w_i = \max(q^*(s_i, \pi^*(s_i)), 0)`, the
    value of the policy's decision (Av-PBC). ``"density"``: :math:`w_i = d(s_i)^{-\tau}`, so that rare states count
    more (arXiv 2512.06692). States are drawn in proportion to their weights, which gives the same mean.

    References:
        * `Lei et al., Offline Behavior Distillation <https://arxiv.org/abs/2410.22728>`_
        * `Lei et al., State Diversity Matters in Offline Behavior Distillation <https://arxiv.org/abs/2512.06692>`_

    Args, beside those of :class:`~.moving.MovingMethod`:
        imitate: Whose actions; others than ``"recorded"`` for continuous ones only.
        n_teachers: Students of the real data that ``imitate="students"`` trains.
        teacher_percent: They train on the episodes with the highest returns, until this % of the dataset's transitions
            are in; None trains them on all.
        teacher_steps: Steps of each, of 256 transitions, over which its learning rate is annealed to zero. A tenth of
            the episodes is held out; the weights with the lowest loss there are kept.
        weighting: Which real states count more; others than ``"even"`` need real batches of a size.
        density_power: tau of the weights by density.
        policy: That of ``imitate="policy"`` and of its values, a :class:`ValuedPolicy` for these.
        policy_sha256: Hash of its file, to record.
    """

    PRESETS: ClassVar[tuple[str, ...]] = tuple(PRESETS)

    imitate: Literal["recorded", "policy", "students"] = option(
        "recorded",
        "Whose actions: those taken, what the policy --expert does, or students of the data.",
        choices=("recorded", "policy", "students"),
    )
    n_teachers: int = option(5, "Students of the data, with --imitate students.", minimum=1)
    teacher_steps: int = option(2000, "Steps of each of them.", minimum=1)
    teacher_percent: float | None = option(
        None,
        "Teachers train on the episodes of the highest returns, until this % of the transitions are in; 100: all.",
        above=0,
        maximum=100,
        off=100,
    )
    weighting: Literal["even", "value", "density"] = option(
        "even",
        "Which real states count more: of high value to --expert, or rare.",
        choices=("even", "value", "density"),
    )
    density_power: float = option(0.1, "How much more rare states count.", minimum=0)
    policy: ContinuousPolicy | None = dataclasses.field(
        default=None, repr=False, compare=False, metadata={"json": False}
    )
    policy_sha256: str | None = dataclasses.field(default=None, metadata={"json": False})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.imitate != "recorded" and not self.continuous:
            raise SettingsError(
                f"imitate={self.imitate!r} with discrete actions: give sharpness, or the method 'labels', instead."
            )
        if self.teacher_percent is not None and self.imitate != "students":
            raise SettingsError(
                f"teacher_percent={self.teacher_percent:g} with imitate={self.imitate!r}: it is for imitate='students'."
            )
        if self.needs_policy and self.policy is None:
            what = "imitate='policy'" if self.imitate == "policy" else "weighting='value'"
            raise SettingsError(f"{what} without a policy: name one with --expert, or give policy.")
        if self.weighting == "value" and not isinstance(self.policy, ValuedPolicy):
            raise SettingsError(
                "weighting='value' with a policy that knows no values: give an expert of soft actor-critic's, or a "
                "kept student iql or td3-bc."
            )
        if self.weighting != "even" and self.real_batch_size is None:
            raise SettingsError(f"weighting={self.weighting!r} with all data in each batch: give real_batch_size.")

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as JSON values, with the hash of the policy's file where it has one."""
        known = {} if self.policy_sha256 is None else {"policy_sha256": self.policy_sha256}
        return {**super().to_json(), **known}

    @property
    def needs_policy(self) -> bool:
        """Whether another policy takes part."""
        return self.imitate == "policy" or self.weighting == "value"

    @property
    def taught_steps(self) -> int:
        """Steps of the students whose decisions are imitated; 0 where there are none."""
        return self.n_teachers * self.teacher_steps if self.imitate == "students" else 0

    @property
    def total_steps(self) -> int:
        """Those of the students that are imitated, and ``steps``."""
        return self.taught_steps + super().total_steps

    @property
    def option_steps(self) -> int:
        """Those that move the samples."""
        return super().total_steps

    def phases(self) -> list[Phase]:
        """The training of those that are imitated, and the moves."""
        if not self.taught_steps:
            return super().phases()
        soon = dataclasses.replace(self, n_teachers=1, teacher_steps=1)
        parts = [Phase(self, 0, self.taught_steps), Phase(soon, 1, self.option_steps)]
        return [part for part in parts if part.steps]

    def teaching(
        self, dataset: OfflineDataset, data: TransitionArrays, rng: np.random.Generator, device: str
    ) -> StudentTeaching | None:
        """See :meth:`~.moving.MovingMethod.teaching`."""
        if self.imitate != "students":
            return None
        learner = self.learner
        assert isinstance(learner, BCConfig)
        taught = data if self.teacher_percent is None else dataset.best(self.teacher_percent)[0]
        if len(np.unique(taught.episodes)) < 2:
            raise UnsuitableDatasetError(
                f"imitate='students' with teacher_percent={self.teacher_percent or 100:g}: 1 episode is left to train "
                "on; expected at least 2, one of them to hold out. Give a larger percentage."
            )
        return StudentTeaching(learner, taught, data, self.n_teachers, self.teacher_steps, rng, device)

    @classmethod
    def preset(
        cls,
        dataset: OfflineDataset,
        student: Student,
        *,
        name: str = "default",
        settings: Mapping[str, Any] | None = None,
        expert: Callable[[], Expert] | None = None,
    ) -> Self:
        """See :meth:`~.base.Method.preset`; ``"pbc"``, ``"av-pbc"`` and ``"sdw"`` are the cited objectives.

        ``"percentile"`` imitates students of the best tenth of the data.
        """
        given = {**PRESETS.get(name, {}), **(settings or {})}
        wanted = given.get("imitate") == "policy" or given.get("weighting") == "value"
        if wanted and given.get("policy") is None and expert is not None:
            loaded = expert()
            given |= {"policy": loaded.policy, "policy_sha256": loaded.sha256}
        return super().preset(dataset, student, name=name, settings=given, expert=expert)

    def imitated(
        self,
        dataset: OfflineDataset,
        data: TransitionArrays,
        rows: npt.NDArray[np.int64],
        rng: np.random.Generator,
    ) -> TransitionArrays:
        """See :meth:`~.moving.MovingMethod.imitated`; with ``imitate="policy"`` the policy's own decisions."""
        if self.imitate == "policy":
            assert self.policy is not None
            return dataclasses.replace(data, actions=policy_actions(self.policy, data.observations))
        return super().imitated(dataset, data, rows, rng)

    def real_rows(self, data: TransitionArrays) -> RealRows:
        """Returns what draws the real states of a step."""
        if self.weighting == "even":
            return RealRows(len(data), self.real_batch_size)
        if self.weighting == "value":
            assert isinstance(self.policy, ValuedPolicy)
            weights = value_weights(self.policy, data.observations)
        else:
            weights = density_weights(data.observations, self.density_power)
        return RealRows(len(data), self.real_batch_size, weights)


class RealRows:
    """Draws real transitions with replacement.

    Args:
        count: Number of transitions, N.
        size: How many at once; None takes all of them each time.
        weights: Their relative probabilities, float64 ``(N,)``; None draws evenly.
    """

    def __init__(self, count: int, size: int | None, weights: npt.NDArray[np.float64] | None = None) -> None:
        self._count, self._size = count, size
        self._cumulative = None if weights is None else np.cumsum(weights) / weights.sum()

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns indices, int64 ``(size,)``."""
        if self._size is None:
            return np.arange(self._count)
        if self._cumulative is None:
            return rng.integers(self._count, size=self._size)
        rows = np.searchsorted(self._cumulative, rng.random(self._size), side="right")
        return np.minimum(rows, self._count - 1).astype(np.int64)


def policy_actions(policy: ContinuousPolicy, observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns what a policy does at observations ``(N, ...)``, float32 ``(N, D)``."""
    pieces = [policy.actions(torch.from_numpy(piece)) for piece in in_pieces(observations)]
    actions: npt.NDArray[np.float32] = torch.cat(pieces).numpy()
    return actions


def value_weights(policy: ValuedPolicy, observations: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns the values of a policy's own decisions at observations ``(N, ...)``, 0 where they are below.

    Raises:
        SettingsError: If none is above 0.
    """
    seen = map(torch.from_numpy, in_pieces(observations))
    pieces = [policy.values(piece, policy.actions(piece)) for piece in seen]
    weights = np.maximum(torch.cat(pieces).numpy().astype(np.float64), 0)
    if not weights.any():
        raise SettingsError(
            "weighting='value': the policy values none of its decisions above 0, so all weights are 0; give "
            "weighting='even'."
        )
    return weights


def density_weights(observations: npt.NDArray[Any], power: float) -> npt.NDArray[np.float64]:
    r"""Returns :math:`d(s)^{-\tau}` up to a factor, with the nearest-neighbour estimate of the density.

    With r the distance to the k-th nearest of the other states in D standardised features, :math:`d \propto r^{-D}`
    (Loftsgaarden and Quesenberry 1965). The k-th nearest are looked for among 4096 states evenly spread over the
    data.

    Args:
        observations: ``(N, ...)``.
        power: tau.
    """
    flat = torch.from_numpy(np.asarray(observations).reshape(len(observations), -1)).float()
    spread = flat.std(0, correction=0)
    flat = (flat - flat.mean(0)) / torch.where(spread > 0, spread, 1.0)
    references = flat[np.linspace(0, len(flat) - 1, min(REFERENCES, len(flat))).astype(np.int64)]
    neighbour = min(NEIGHBOUR, len(references) - 1) + 1  # the nearest may be the state itself
    radii = [torch.cdist(piece, references).kthvalue(neighbour, 1).values for piece in flat.split(PIECE)]
    logarithms = torch.cat(radii).double().clamp_min(1e-12).log() * (flat.shape[1] * power)
    weights: npt.NDArray[np.float64] = (logarithms - logarithms.max()).exp().numpy()
    return weights
