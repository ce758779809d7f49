"""The same samples under other networks: d3rlpy's default pixel encoder and a small IMPALA.

Each student has the paper's budget of 100 x 15 and d3rlpy's default learning rate for cloning, 1e-3. Returns on
seen and unseen levels, sampled actions, and the gain over as many random samples, with its 95% bootstrap interval.
Run: ``python benchmarks/other_networks.py data/starpilot.h5 data/starpilot-150.h5``"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gym_notices.notices
import numpy as np
import structlog
from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.models.encoders import DefaultEncoderFactory, EncoderFactory
from d3rlpy.preprocessing import PixelObservationScaler

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy_distill import PAPER_SYNTHETIC, RandomSelector, TransitionArrays, train_student  # noqa: E402
from d3rlpy_distill.evaluation import difference_interval  # noqa: E402
from d3rlpy_distill.evaluation.players import StudentPolicy  # noqa: E402
from procgen_datasets import ALL_LEVELS, TRAIN_LEVELS, load_dataset  # noqa: E402
from procgen_datasets.player import ProcgenPlayer  # noqa: E402
from procgen_datasets.policies.impala import ImpalaEncoderFactory  # noqa: E402

NETWORKS: dict[str, EncoderFactory] = {
    "d3rlpy-default": DefaultEncoderFactory(),
    "impala-s2d": ImpalaEncoderFactory("impala-s2d"),
}


def students(encoder: EncoderFactory, data: list[TransitionArrays]) -> list[StudentPolicy]:
    config = DiscreteBCConfig(
        batch_size=PAPER_SYNTHETIC.batch_size,
        beta=0.0,
        learning_rate=1e-3,
        encoder_factory=encoder,
        observation_scaler=PixelObservationScaler(),
    )
    return [
        StudentPolicy(train_student(config, samples, PAPER_SYNTHETIC.n_steps, seed=seed))
        for seed, samples in enumerate(data)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    arguments = parser.parse_args()
    real, info = load_dataset(arguments.real)
    assert info.provenance is not None
    distilled = TransitionArrays.from_buffer(load_dataset(arguments.synthetic)[0])
    random = [
        TransitionArrays.from_buffer(RandomSelector(len(distilled)).select(real, np.random.default_rng(i)))
        for i in range(arguments.students)
    ]
    levels = {"id": TRAIN_LEVELS, "ood": ALL_LEVELS}
    player = ProcgenPlayer(info.provenance.game, levels, arguments.episodes, seed=0)
    for name, encoder in NETWORKS.items():
        arms = {
            "random": students(encoder, random),
            "distilled": students(encoder, [distilled] * arguments.students),
        }
        for split in levels:
            returns = {arm: player.play(group, split=split, mode="sampled") for arm, group in arms.items()}
            value, low, high = difference_interval(
                returns["distilled"], returns["random"], np.random.default_rng(0)
            )
            row = {
                "game": info.provenance.game,
                "network": name,
                "split": split,
                **{arm: round(float(r.mean()), 2) for arm, r in returns.items()},
                "gain": round(value, 2),
                "gain_ci95": [round(low, 2), round(high, 2)],
            }
            print(json.dumps(row), flush=True)
