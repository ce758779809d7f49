"""CartPole as a task to evaluate on: its episodes last some twenty steps, its students train in milliseconds."""

from __future__ import annotations

from pathlib import Path

from d3rlpy_distill.evaluation import Protocol
from d3rlpy_distill.learners.convergence import ConvergenceConfig
from d3rlpy_distill.students import Budget
from d3rlpy_distill.tasks import CollectSettings, make_task

__all__ = ["TINY", "collect_cartpole"]

TINY = Protocol(
    students=2,
    episodes=3,
    full=Budget(2, 8),
    small=Budget(2, 4),
    convergence=ConvergenceConfig(steps=2, check_every=1, max_held_out=16),
)


def collect_cartpole(path: Path) -> Path:
    """Writes ten episodes of random play, action probabilities recorded, some 200 transitions; returns the path."""
    make_task("gym/CartPole-v1").collect(CollectSettings(policy="random", episodes=10), path)
    return path
