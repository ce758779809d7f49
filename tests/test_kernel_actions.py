"""Kernel regression against a least-squares fit, finite differences and students that train on its samples."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from d3rlpy.models.encoders import VectorEncoderFactory

from buffers import distil, vectors
from d3rlpy_distill import Run, TransitionArrays
from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.learners.learner import build_learner, learner_features, learner_network
from d3rlpy_distill.learners.training import Trainer, held_out_loss
from d3rlpy_distill.methods.decisions import RealRows
from d3rlpy_distill.methods.kernel_actions import ActionKernelConfig, ActionKernelObjective
from d3rlpy_distill.methods.ridge import ridge_regression

SMALL = VectorEncoderFactory(hidden_units=[6], activation="tanh")


def test_gradient_equals_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """For observations and actions, in double precision."""
    for module in ("d3rlpy_distill.methods.kernel_actions", "d3rlpy_distill.learners.training"):
        monkeypatch.setattr(f"{module}.scale", lambda learner, x: torch.as_tensor(x).double())
    data = TransitionArrays.from_buffer(vectors(continuous=True))
    learner = BCConfig(batch_size=4, learning_rate=1e-2, encoder_factory=SMALL)
    config = ActionKernelConfig(
        learner=learner, n_samples=5, ridge=1e-2, real_batch_size=None, output_dtype="float32", networks=2
    )
    generator = torch.Generator().manual_seed(0)
    given = [
        torch.randn(5, 3, generator=generator, dtype=torch.float64),
        torch.rand(5, 2, generator=generator, dtype=torch.float64) - 0.5,
    ]

    def value(x: torch.Tensor, a: torch.Tensor) -> tuple[float, list[torch.Tensor]]:
        objective = ActionKernelObjective(config, data, config.real_rows(data), np.random.default_rng(7), "cpu:0")
        for network in objective._pool._networks:
            learner_network(network.learner).double()
        leaves = {"x": x.clone().requires_grad_(), "a": a.clone().requires_grad_()}
        samples: Any = SimpleNamespace(observations=leaves["x"], actions=leaves["a"], parameters=leaves)
        error = objective.step(samples)
        return error, [leaf.grad for leaf in leaves.values()]  # type: ignore[misc]

    _, gradients = value(*given)
    assert all(gradient.abs().max() > 1e-4 for gradient in gradients)
    for which, i, j in ((0, 0, 0), (0, 2, 1), (0, 4, 2), (1, 1, 1)):
        ends = []
        for sign in (1, -1):
            there = [one.clone() for one in given]
            there[which][i, j] += sign * 1e-6
            ends.append(value(*there)[0])
        assert gradients[which][i, j].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-7)


def test_the_error_is_that_of_a_last_layer_solved_for() -> None:
    """A network's own features, its last layer fitted to the samples, on all real data."""
    data = TransitionArrays.from_buffer(vectors(continuous=True))
    learner = BCConfig(batch_size=4, learning_rate=1e-2, encoder_factory=SMALL)
    config = ActionKernelConfig(
        learner=learner, n_samples=5, networks=1, real_batch_size=None, output_dtype="float32", ridge=1e-3
    )
    objective = ActionKernelObjective(config, data, RealRows(len(data), None), np.random.default_rng(0), "cpu:0")
    samples: Any = SimpleNamespace(
        observations=torch.from_numpy(data.observations[:5]).requires_grad_(),
        actions=torch.from_numpy(data.actions[:5]),
    )
    samples.parameters = {"observations": samples.observations}
    network = objective._pool._networks[0].learner
    with torch.no_grad():
        features = learner_features(network, torch.from_numpy(data.observations))
        hidden = learner_network(network)._encoder(torch.from_numpy(data.observations))
    torch.testing.assert_close(features, hidden)
    before = {name: value.clone() for name, value in learner_network(network).state_dict().items()}
    ones = torch.cat([features, torch.ones(len(features), 1)], 1)
    few = ones[:5]
    targets = torch.atanh(0.99 * samples.actions)
    predicted = ridge_regression(few @ few.T, ones @ few.T, targets, 1e-3).tanh()
    expected = 0.5 * (predicted.numpy() - data.actions) ** 2
    assert objective.step(samples) == pytest.approx(float(expected.sum(1).mean()), rel=1e-3)
    after = learner_network(objective._pool._networks[0].learner).state_dict()
    assert not all(torch.equal(before[name], value) for name, value in after.items())  # it trains on the samples


def test_students_of_the_samples_fit_the_real_data_better() -> None:
    """What it is for: students trained on the samples have a lower loss on the real data than on random ones."""
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(5):
        observations = rng.normal(size=(40, 3)).astype(np.float32)
        actions = np.tanh(np.sin(2 * observations[:, :1]) + observations[:, 1:2])
        episodes.append(Episode(observations, actions, np.zeros((40, 1), np.float32), True))
    buffer = ReplayBuffer(InfiniteBuffer(), episodes=episodes, action_space=ActionSpace.CONTINUOUS, action_size=1)
    data = TransitionArrays.from_buffer(buffer)
    learner = BCConfig(
        batch_size=12, learning_rate=3e-3, encoder_factory=VectorEncoderFactory(hidden_units=[32, 32])
    )
    config = ActionKernelConfig(
        learner=learner, n_samples=12, steps=300, learning_rate=0.03, label_learning_rate=0.03, momentum=0.9,
        learn_actions=True, real_batch_size=None, output_dtype="float32", networks=4,
    )  # fmt: skip
    distilled = distil(config, buffer)
    assert distilled.initial is not None

    def loss(samples: TransitionArrays, seed: int) -> float:
        student = build_learner(learner, (3,), 1, seed=seed)
        trainer = Trainer(student, samples, np.random.default_rng(seed))
        for _ in range(150):
            trainer.step()
        return held_out_loss(student, data)

    before, after = (
        [loss(samples, seed) for seed in range(100, 105)] for samples in (distilled.initial, distilled.samples)
    )
    assert np.mean(after) < 0.8 * np.mean(before)  # measured: 0.64


def test_interrupted_it_resumes_to_the_same_values(tmp_path: Path) -> None:
    buffer = vectors(continuous=True)
    learner = BCConfig(batch_size=4, learning_rate=1e-2, encoder_factory=SMALL)
    config = ActionKernelConfig(
        learner=learner, n_samples=8, steps=7, networks=2, horizon=10, real_batch_size=6, output_dtype="float32"
    )
    whole = distil(config, buffer, seed=3).samples

    class Stop(Exception):
        pass

    def stop(step: int, total: int, loss: float) -> None:
        if step == 5:
            raise Stop

    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(Stop):
        distil(config, buffer, seed=3, run=Run(checkpoint=checkpoint, checkpoint_interval=2, on_step=stop))
    again = distil(config, buffer, seed=3, run=Run(checkpoint=checkpoint)).samples
    np.testing.assert_array_equal(again.observations, whole.observations)
    assert not np.array_equal(distil(config, buffer, seed=4).samples.observations, whole.observations)


def test_it_is_for_continuous_actions() -> None:
    with pytest.raises(SettingsError, match="with DiscreteBCConfig: for BCConfig only; discrete actions have"):
        ActionKernelConfig(learner=DiscreteBCConfig())
    with pytest.raises(SettingsError, match="horizon=4: expected at least network_steps, 5"):
        ActionKernelConfig(learner=BCConfig(), horizon=4)
