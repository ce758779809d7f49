"""Imitators that train as one batched model: the same as one after the other, but for rounding."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig, DQNConfig
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.optimizers import AdamFactory, GPTAdamWFactory, SGDFactory
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler

from buffers import vectors
from d3rlpy_distill import TransitionArrays
from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.learners import together as together_module
from d3rlpy_distill.learners import training
from d3rlpy_distill.learners.learner import learner_network
from d3rlpy_distill.learners.together import train_together
from d3rlpy_distill.learners.training import train_learner

SMALL = VectorEncoderFactory([7, 5])
SEEDS = (3, 4, 3)


def sets(*, continuous: bool = False, soft: bool = False) -> list[TransitionArrays]:
    """Three sets of nine vectors, of which two are equal."""
    data = TransitionArrays.from_buffer(vectors(continuous))
    if soft:
        labels = torch.softmax(torch.from_numpy(data.observations / data.observations.std(0)), 1)
        data = dataclasses.replace(data, probabilities=labels.numpy().astype(np.float32))
    return [data.take(np.arange(start, start + 9)) for start in (0, 9, 0)]


def discrete(**settings: Any) -> DiscreteBCConfig:
    scaler = StandardObservationScaler(mean=np.array([0.0, 0.1, -0.5]), std=np.array([0.01, 1.0, 9.0]))
    given = {"batch_size": 4, "learning_rate": 1e-2, "encoder_factory": SMALL, "observation_scaler": scaler}
    return DiscreteBCConfig(**{**given, **settings})


CONTINUOUS = BCConfig(
    batch_size=4,
    learning_rate=1e-2,
    encoder_factory=SMALL,
    action_scaler=MinMaxActionScaler(minimum=np.array([-1.0, -2.0]), maximum=np.array([1.0, 2.0])),
)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (discrete(beta=0.5), {}),
        (discrete(beta=0.1), {"soft": True}),
        (discrete(optim_factory=AdamFactory(weight_decay=0.1)), {}),
        (discrete(optim_factory=SGDFactory(momentum=0.5)), {}),
        (CONTINUOUS, {"continuous": True}),
    ],
    ids=["actions", "soft labels", "weight decay", "SGD", "continuous"],
)
def test_each_is_what_it_is_alone(
    config: DiscreteBCConfig | BCConfig, kind: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32: in bfloat16, which some processors compute in, the differences of rounding add up."""
    for module in (together_module, training):
        monkeypatch.setattr(module, "autocast", lambda device: contextlib.nullcontext())
    data = sets(**kind)
    together = train_together(config, data, 30, seeds=SEEDS)
    for learner, own, seed in zip(together, data, SEEDS, strict=True):
        alone = train_learner(config, own, 30, seed=seed)
        before = train_learner(config, own, 0, seed=seed)
        for a, b, c in zip(*(learner_network(one).parameters() for one in (learner, alone, before)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
            assert not torch.allclose(a, c, rtol=1e-4, atol=1e-5)
        x = own.observations
        np.testing.assert_allclose(learner.predict(x), alone.predict(x), atol=1e-4)
    first, other, same = (learner_network(one).state_dict() for one in together)
    for name, value in first.items():
        torch.testing.assert_close(value, same[name], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(value, other[name], rtol=1e-4, atol=1e-5)


def test_no_step_leaves_them_as_they_are_initialised() -> None:
    (learner,) = train_together(discrete(), sets()[:1], 0, seeds=[5])
    expected = learner_network(train_learner(discrete(), sets()[0], 0, seed=5)).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in learner_network(learner).state_dict().items())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DQNConfig(), "DQNConfig: expected DiscreteBCConfig"),
        (dataclasses.replace(CONTINUOUS, policy_type="stochastic"), "with a deterministic policy"),
        (discrete(optim_factory=AdamFactory(clip_grad_norm=1.0)), "gradients clipped at 1.0"),
        (discrete(optim_factory=GPTAdamWFactory()), "GPTAdamWFactory"),
        (discrete(encoder_factory=VectorEncoderFactory([4], dropout_rate=0.1)), "with dropout"),
        (discrete(encoder_factory=VectorEncoderFactory([4], use_batch_norm=True)), "batch normalisation"),
    ],
)
def test_what_cannot_train_together_is_named(config: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        train_together(config, sets(continuous=isinstance(config, BCConfig)), 1, seeds=SEEDS)


def test_data_that_do_not_fit_together_are_named() -> None:
    data = sets()
    for given, message in (
        (data[:2], "data of 9, 9 samples for 3 seeds"),
        ([*data[:2], data[1].take(np.arange(4))], "data of 9, 9, 4 samples"),
        ([*data[:2], sets(soft=True)[0]], "data of 9, 9, 9 soft samples"),
    ):
        with pytest.raises(SettingsError, match=message):
            train_together(discrete(), given, 1, seeds=SEEDS)
    with pytest.raises(SettingsError, match="n_steps=-1"):
        train_together(discrete(), data, -1, seeds=SEEDS)
