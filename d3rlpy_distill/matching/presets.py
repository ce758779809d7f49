"""Presets of gradient matching."""

from __future__ import annotations

from d3rlpy.algos import BCConfig, DiscreteBCConfig

from ..learner import LearnerConfig
from ..presets import PAPER_BC, paper_student
from .config import GradientMatchingConfig

__all__ = [
    "DEFAULT_STEPS",
    "PAPER_STEPS",
    "TEACHERS",
    "VECTOR_STEPS",
    "default_matching",
    "paper_matching",
    "vector_matching",
]

PAPER_STEPS = 1000
DEFAULT_STEPS = 1000
VECTOR_STEPS = 8000
TEACHERS = 3
DEFAULT_SHARPNESS = 4.0
SHARED_OBSERVATIONS = 10


def vector_matching(learner: LearnerConfig, *, n_samples: int = 50, seed: int = 0) -> GradientMatchingConfig:
    """Returns the setting for observations that are no images: squared error along trajectories of 200 steps.

    Continuous actions are learned too. See docs/other-datasets.md for what it gives.

    Args:
        learner: What to match, for example :func:`~.learners.learner_for`'s.
        n_samples: Size of the synthetic set.
        seed: Fixes everything random.
    """
    return GradientMatchingConfig(
        learner=learner,
        n_samples=n_samples,
        distance="l2",
        trajectory_length=200,
        learning_rate=0.02,
        momentum=0.9,
        learn_actions=isinstance(learner, BCConfig),
        output_dtype="float32",
        seed=seed,
    )


def paper_matching(expert: DiscreteBCConfig, *, n_samples: int = 150, seed: int = 0) -> GradientMatchingConfig:
    """Returns the setting of arXiv 2407.20299: SGD 0.1 with momentum 0.5, squared error, 10 samples an action.

    Gradients are taken for each action at the expert's weights, as in the authors' runs; pass them to
    ``create(weights=...)``. The paper gives no size of the real batches: all data is used.

    Args:
        expert: The expert as a learner.
        n_samples: Size of the synthetic set.
        seed: Fixes the initial frames.
    """
    return GradientMatchingConfig(
        learner=expert,
        n_samples=n_samples,
        allocation="even",
        grouping="action",
        distance="l2",
        theta="given",
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.5,
        real_batch_size=None,
        seed=seed,
    )


def default_matching(*, n_samples: int = 150, seed: int = 0) -> GradientMatchingConfig:
    """Returns the setting for cloning from images; ``fit`` needs the behaviour policy's action probabilities.

    The samples' actions follow the sharpened policy, ten real observations carry all of them alike, and squared
    error of the whole batch's gradient along students trained on the relabelled data moves the pixels. Chosen on
    the validation levels; docs/findings.md says over what, and how much of the gain each part brings.

    Args:
        n_samples: Size of the synthetic set.
        seed: Fixes everything random.
    """
    return GradientMatchingConfig(
        learner=paper_student(PAPER_BC),
        n_samples=n_samples,
        sharpness=DEFAULT_SHARPNESS,
        shared_observations=min(SHARED_OBSERVATIONS, n_samples),
        seed=seed,
    )
