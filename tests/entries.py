"""Results made by hand: what an evaluation would find, without one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from d3rlpy_distill.evaluation import ArmKind, ArmResult, Results

SPLITS = {"id": "seen levels (ID)", "ood": "unseen levels (OOD)"}
BUDGET = {"full": {"n_steps": 1000, "batch_size": 256}, "small": {"n_steps": 100, "batch_size": 15}}
ABOUT = {
    "random-policy": ArmKind("random-policy"),
    "expert": ArmKind("expert"),
    "bc-100": ArmKind("full", student="paper"),
    "bc-100-converged": ArmKind("converged", student="paper"),
    "random-20": ArmKind("random", 20, student="paper"),
    "balanced-20": ArmKind("balanced", 20, student="paper"),
    "random-soft-20": ArmKind("random", 20, "soft", "paper", of="soft-20"),
    "distilled-20": ArmKind("distilled", 20, student="paper"),
    "soft-20": ArmKind("distilled", 20, "soft", "paper"),
}
"""The arms of a table of the paper's student."""


def entry(
    name: str,
    about: ArmKind,
    returns: npt.ArrayLike,
    *,
    split: str = "id",
    mode: str = "sampled",
    normalised: float | None = 0.0,
    seconds: float = 1.0,
) -> ArmResult:
    """One arm on one split, of 20 samples, 2 MB."""
    trained = {} if about.student is None else {"samples": 20, "n_bytes": 2_000_000, "train_seconds": seconds}
    array = np.asarray(returns, np.float64)
    return ArmResult.from_returns(name, about, split, mode, array, normalised=normalised, seed=0, **trained)


def constant(
    means: Mapping[str, float],
    task: str = "procgen/coinrun",
    *,
    students: int = 5,
    about: Mapping[str, ArmKind] = ABOUT,
    splits: Mapping[str, str] = SPLITS,
    modes: Sequence[str] = ("sampled",),
    normalised: float | None = 0.0,
    small: tuple[int, int] = (100, 15),
) -> Results:
    """Results whose students all return the mean of their arm, on every split and in every mode."""
    arms = [
        entry(
            name,
            about[name],
            np.full((1 if about[name].student is None else students, 4), mean),
            split=split,
            mode=mode,
            normalised=normalised,
        )
        for name, mean in means.items()
        for split in splits
        for mode in modes
    ]
    trained = dict.fromkeys(about[name].student for name in means if about[name].student is not None)
    budget = {**BUDGET, "small": {"n_steps": small[0], "batch_size": small[1]}}
    return Results(task, {"budgets": dict.fromkeys(trained, budget)}, {}, splits, arms)


def of_student(about: ArmKind, student: str) -> ArmKind:
    """The same arm of another student."""
    return dataclasses.replace(about, student=student)
