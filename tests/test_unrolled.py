"""Unrolled matching against stock Adam, finite differences and a closed form."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig, DQNConfig
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.optimizers import AdamFactory, SGDFactory
from d3rlpy.optimizers.lr_schedulers import WarmupSchedulerFactory

from buffers import distil, make_buffer, paper_learner, vectors
from d3rlpy_distill import Budget, Run, TransitionArrays, UnrolledMatchingConfig
from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.learners.batch import Batch
from d3rlpy_distill.learners.learner import build_learner, learner_network
from d3rlpy_distill.learners.training import Trainer, held_out_loss
from d3rlpy_distill.methods.differentiable import DifferentiableStudent, StudentState
from d3rlpy_distill.methods.unrolled import UnrolledObjective

SMALL = VectorEncoderFactory(hidden_units=[6], activation="tanh")


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "d3rlpy_distill.learners.training.autocast", lambda device: torch.autocast("cpu", enabled=False)
    )


@pytest.mark.parametrize("continuous", [True, False])
def test_the_differentiable_student_trains_as_stock_adam_does(continuous: bool) -> None:
    config = (BCConfig if continuous else DiscreteBCConfig)(
        batch_size=7, learning_rate=1e-2, encoder_factory=SMALL
    )
    data = TransitionArrays.from_buffer(vectors(continuous))
    learner = build_learner(config, (3,), data.action_size, seed=0)
    before = StudentState.begin(learner)
    student = DifferentiableStudent(learner, before)
    stock = build_learner(config, (3,), data.action_size, seed=0)
    rows = np.random.default_rng(3).integers(len(data), size=(5, 7))
    trainer = Trainer(stock, data, SimpleNamespace(integers=lambda n, size: rows[trainer.steps]))  # type: ignore[arg-type]
    for index in rows:
        trainer.step()
        student.train(Batch(torch.from_numpy(data.observations[index]), torch.from_numpy(data.actions[index])))
    assert int(student.detached().steps) == 5
    trained = student.detached().weights
    for name, expected in learner_network(stock).named_parameters():
        # each of 5 steps moves a weight by about 1e-2; epsilon stands under the root here, outside of it there
        torch.testing.assert_close(trained[name], expected.detach(), rtol=0, atol=1e-5)
    untouched = dict(learner_network(learner).named_parameters())
    assert all(torch.equal(untouched[k], v) for k, v in before.weights.items())


@pytest.mark.parametrize("continuous", [True, False])
def test_gradient_equals_finite_differences(continuous: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through 3 steps of Adam, in double precision, for observations and learned actions."""
    for module in ("d3rlpy_distill.methods.unrolled", "d3rlpy_distill.learners.training"):
        monkeypatch.setattr(f"{module}.scale", lambda learner, x: torch.as_tensor(x).double())
    data = TransitionArrays.from_buffer(vectors(continuous))
    if continuous:
        data.__dict__["actions"] = data.actions.astype(np.float64)
    learner = (BCConfig if continuous else DiscreteBCConfig)(
        batch_size=4, learning_rate=1e-2, encoder_factory=SMALL
    )
    config = UnrolledMatchingConfig(
        learner=learner, n_samples=5, window=3, horizon=9, real_batch_size=None, output_dtype="float32"
    )
    generator = torch.Generator().manual_seed(0)
    observations = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    if continuous:
        actions = torch.rand(5, 2, generator=generator, dtype=torch.float64) - 0.5
    else:
        actions = torch.tensor([0, 1, 2, 0, 1])

    def value(x: torch.Tensor, a: torch.Tensor) -> tuple[float, list[torch.Tensor]]:
        objective = UnrolledObjective(config, data, config.real_rows(data), np.random.default_rng(7), "cpu:0")
        learner_network(objective._learner).double()
        state = objective._state
        doubled = ({k: v.double() for k, v in d.items()} for d in (state.weights, state.first, state.second))
        objective._state = StudentState(*doubled, state.steps)
        leaves = {"x": x.clone().requires_grad_()}
        if continuous:
            leaves["a"] = a.clone().requires_grad_()
        samples: Any = SimpleNamespace(observations=leaves["x"], actions=leaves.get("a", a), parameters=leaves)
        loss = objective.step(samples)
        return loss, [leaf.grad for leaf in leaves.values()]  # type: ignore[misc]

    _, gradients = value(observations, actions)
    assert gradients[0].abs().max() > 1e-4
    epsilon = 1e-6
    for i, j in ((0, 0), (2, 1), (4, 2)):
        step = torch.zeros_like(observations)
        step[i, j] = epsilon
        difference = (value(observations + step, actions)[0] - value(observations - step, actions)[0]) / (
            2 * epsilon
        )
        assert gradients[0][i, j].item() == pytest.approx(difference, rel=1e-3, abs=1e-7)
    if continuous:
        step = torch.zeros_like(actions)
        step[1, 1] = epsilon
        difference = (value(observations, actions + step)[0] - value(observations, actions - step)[0]) / (
            2 * epsilon
        )
        assert gradients[1][1, 1].item() == pytest.approx(difference, rel=1e-3, abs=1e-7)


def test_students_of_the_samples_fit_the_real_data_better() -> None:
    """What it is for: after distilling, students trained on the samples have half the loss on the real data."""
    buffer = vectors(continuous=True)
    data = TransitionArrays.from_buffer(buffer)
    learner = BCConfig(batch_size=8, learning_rate=1e-2, encoder_factory=SMALL)
    config = UnrolledMatchingConfig(
        learner=learner, n_samples=3, steps=60, window=20, horizon=60, learning_rate=0.1,
        label_learning_rate=0.1, momentum=0.9, learn_actions=True, real_batch_size=None, output_dtype="float32",
    )  # fmt: skip
    distilled = distil(config, buffer)
    assert distilled.initial is not None

    def loss(samples: TransitionArrays, seed: int) -> float:
        student = build_learner(learner, (3,), 2, seed=seed)
        trainer = Trainer(student, samples, np.random.default_rng(seed))
        for _ in range(60):
            trainer.step()
        return held_out_loss(student, data)

    before, after = (
        [loss(samples, seed) for seed in range(100, 105)] for samples in (distilled.initial, distilled.samples)
    )
    assert np.mean(after) < 0.5 * np.mean(before)  # measured: 0.2


def test_interrupted_it_resumes_to_the_same_values(tmp_path: Path) -> None:
    buffer = make_buffer([9, 9], shape=(3, 16, 16))
    config = UnrolledMatchingConfig(
        learner=paper_learner(Budget(1, 5)), n_samples=8, steps=7, window=2, horizon=5, real_batch_size=6
    )
    whole = distil(config, buffer, seed=3).samples

    class Stop(Exception):
        pass

    def stop(step: int, total: int, loss: float) -> None:
        assert total == 7
        if step == 5:
            raise Stop

    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(Stop):
        distil(config, buffer, seed=3, run=Run(checkpoint=checkpoint, checkpoint_interval=2, on_step=stop))
    resumed = distil(config, buffer, seed=3, run=Run(checkpoint=checkpoint)).samples
    np.testing.assert_array_equal(resumed.observations, whole.observations)
    unmoved = distil(dataclasses.replace(config, steps=0), buffer, seed=3).samples
    assert not np.array_equal(whole.observations, unmoved.observations)


@pytest.mark.parametrize(
    ("learner", "settings", "message"),
    [
        (DQNConfig(), {}, "unrolled matching with DQNConfig: it is for imitation"),
        (DiscreteBCConfig(optim_factory=SGDFactory()), {}, "differentiates plain Adam"),
        (DiscreteBCConfig(optim_factory=AdamFactory(weight_decay=0.1)), {}, "differentiates plain Adam"),
        (DiscreteBCConfig(optim_factory=AdamFactory(amsgrad=True)), {}, "differentiates plain Adam"),
        (DiscreteBCConfig(optim_factory=AdamFactory(clip_grad_norm=0.1)), {}, "differentiates plain Adam"),
        (
            DiscreteBCConfig(optim_factory=AdamFactory(lr_scheduler_factory=WarmupSchedulerFactory(10))),
            {},
            "differentiates plain Adam",
        ),
        (BCConfig(policy_type="stochastic"), {}, "a stochastic policy draws in its loss"),
        (
            DiscreteBCConfig(encoder_factory=VectorEncoderFactory(dropout_rate=0.5)),
            {},
            "dropout draws in every pass",
        ),
        (DiscreteBCConfig(), {"window": 0}, "window=0: expected 1 or more"),
        (DiscreteBCConfig(), {"window": 9, "horizon": 8}, "horizon=8: expected at least the window, 9"),
    ],
)
def test_settings_that_do_not_fit_are_named(learner: Any, settings: dict[str, int], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        UnrolledMatchingConfig(learner=learner, n_samples=4, **settings)  # type: ignore[arg-type]
