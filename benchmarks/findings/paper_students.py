"""The paper's students, as the scripts train them."""

from __future__ import annotations

from d3rlpy_distill import PAPER_SMALL, Budget, OfflineDataset, TransitionArrays
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.policies import DiscretePolicy
from d3rlpy_distill.students.paper import PaperStudent

STUDENTS = 10


def train(
    dataset: OfflineDataset, data: TransitionArrays, seed: int, budget: Budget = PAPER_SMALL
) -> DiscretePolicy:
    """Trains a student of the paper, 100 steps of 15 unless another budget is given.

    Args:
        dataset: Says what its observations and actions are.
        data: What it is trained on.
        seed: Fixes initial weights and batches.
        budget: For how long.
    """
    student = PaperStudent()
    learner = student.fit(student.learner(dataset, budget), TrainingSet(data), budget.n_steps, seed=seed)
    return student.policy(learner, 0.0)
