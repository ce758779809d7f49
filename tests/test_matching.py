"""Gradient matching: its gradient, its determinism, its resumption, its result."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import DiscreteBCConfig, DiscreteCQLConfig
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models.encoders import VectorEncoderFactory
from torch.nn import functional as F

from buffers import make_buffer
from d3rlpy_distill import (
    CheckpointError,
    GradientMatchingConfig,
    PaperEncoderFactory,
    TransitionArrays,
    UnsuitableDatasetError,
    default_matching,
    paper_matching,
    paper_student,
)
from d3rlpy_distill.learner import build_learner, learner_network, scale
from d3rlpy_distill.matching.distance import layerwise_cosine, squared_error
from d3rlpy_distill.matching.gradients import synthetic_gradient
from d3rlpy_distill.matching.matcher import GradientObjective
from d3rlpy_distill.matching.theta import GivenTheta
from d3rlpy_distill.presets import Budget
from procgen_datasets import load_expert

SMALL = DiscreteBCConfig(
    batch_size=8, learning_rate=1e-2, encoder_factory=VectorEncoderFactory(hidden_units=[5]), beta=0.3
)
PIXELS = paper_student(Budget(10, 8))


@pytest.fixture
def double() -> Iterator[None]:
    """Float64 throughout: finite differences need it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def vector_buffer(n: int = 30) -> ReplayBuffer:
    rng = np.random.default_rng(1)
    buffer = make_buffer([n], shape=(3,), action_size=3)
    episode = buffer.episodes[0]
    observations = rng.normal(size=(n, 3)).astype(np.float32)
    return ReplayBuffer(
        InfiniteBuffer(), episodes=[dataclasses.replace(episode, observations=observations)], action_size=3
    )


def test_distances_by_hand() -> None:
    real = [torch.tensor([3.0, 0.0]), torch.tensor([[0.0]]), torch.tensor([1.0, 1.0])]
    mine = [torch.tensor([3.0, 4.0]), torch.tensor([[2.0]]), torch.tensor([-1.0, -1.0])]
    assert squared_error(real, mine).item() == 16 + 4 + 8
    assert layerwise_cosine(real, mine).item() == pytest.approx((1 - 3 / 5) + 0 + 2)
    zero = [torch.zeros(2), torch.zeros(1, 1), torch.zeros(2)]
    assert layerwise_cosine(real, zero).item() == pytest.approx(2.0)
    assert layerwise_cosine(zero, mine).item() == 0.0


def plain_loop(
    weights: dict[str, torch.Tensor],
    data: TransitionArrays,
    samples: torch.Tensor,
    actions: torch.Tensor,
    distance: str,
    grouping: str,
    beta: float,
) -> torch.Tensor:
    """The objective written out: for every group, every sample, every parameter, from the formulae."""
    names = list(weights)
    parameters = {k: v.clone().requires_grad_() for k, v in weights.items()}

    def gradient(observations: torch.Tensor, acts: torch.Tensor) -> list[torch.Tensor]:
        total = [torch.zeros_like(p) for p in parameters.values()]
        for x, a in zip(observations, acts, strict=True):
            hidden = F.relu(parameters["_encoder._layers.0.weight"] @ x + parameters["_encoder._layers.0.bias"])
            log_p = F.log_softmax(parameters["_fc.weight"] @ hidden + parameters["_fc.bias"], 0)
            loss = -log_p[a] + beta * (log_p**2).mean()
            for i, g in enumerate(torch.autograd.grad(loss, list(parameters.values()), create_graph=True)):
                total[i] = total[i] + g / len(acts)
        return total

    real_obs, real_actions = torch.from_numpy(data.observations).double(), torch.from_numpy(data.actions)
    groups = [None] if grouping == "batch" else actions.unique().tolist()
    result = torch.zeros(())
    for a in groups:
        real = gradient(
            *(
                (real_obs, real_actions)
                if a is None
                else (real_obs[real_actions == a], real_actions[real_actions == a])
            )
        )
        mine = gradient(*((samples, actions) if a is None else (samples[actions == a], actions[actions == a])))
        for i in range(len(names)):
            r, s = real[i].detach(), mine[i]
            if distance == "l2":
                result = result + ((r - s) ** 2).sum()
            else:
                result = result + 1 - (r * s).sum() / ((r**2).sum().sqrt() * (s**2).sum().sqrt())
    return result


def raw(samples: torch.Tensor, actions: torch.Tensor) -> Any:
    """Samples that move in their own units."""
    return SimpleNamespace(
        observations=samples, actions=actions, rewards=torch.zeros(len(actions)), parameters={"x": samples}
    )


@pytest.mark.parametrize("distance", ["l2", "cosine"])
@pytest.mark.parametrize("grouping", ["action", "batch"])
def test_gradient_equals_plain_loop_and_finite_differences(
    distance: str, grouping: str, double: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("d3rlpy_distill.training.autocast", lambda device: torch.autocast("cpu", enabled=False))
    monkeypatch.setattr(
        "d3rlpy_distill.training.scale", lambda learner, x: torch.from_numpy(np.asarray(x)).double()
    )
    monkeypatch.setattr("d3rlpy_distill.matching.gradients.scale", lambda learner, x: x)
    data = TransitionArrays.from_buffer(vector_buffer())
    config = GradientMatchingConfig(
        SMALL,
        6,
        theta="given",
        distance=distance,
        grouping=grouping,
        real_batch_size=None,
        output_dtype="float32",  # type: ignore[arg-type]
    )
    learner = build_learner(SMALL, (3,), 3, seed=4)
    weights = learner_network(learner).state_dict()
    theta = GivenTheta(config, data, weights, "cpu:0")
    actions = torch.tensor([0, 0, 1, 1, 2, 2])
    samples = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    matcher = GradientObjective(config, theta, data, actions, np.random.default_rng(0))
    value = matcher.step(raw(samples, actions))
    expected = plain_loop(weights, data, samples, actions, distance, grouping, 0.3)
    assert value == pytest.approx(expected.item(), rel=1e-9)
    (gradient,) = torch.autograd.grad(expected, samples)
    assert samples.grad is not None
    torch.testing.assert_close(samples.grad, gradient, rtol=1e-7, atol=1e-10)
    epsilon = 1e-6
    for i, j in ((0, 0), (2, 1), (5, 2)):
        values = []
        for sign in (1, -1):
            moved = samples.detach().clone()
            moved[i, j] += sign * epsilon
            values.append(matcher.step(raw(moved.requires_grad_(), actions)))
        assert samples.grad[i, j].item() == pytest.approx(
            (values[0] - values[1]) / (2 * epsilon), rel=1e-4, abs=1e-8
        )


def test_pixel_gradient_equals_finite_differences(double: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's network, scaler included, in double precision."""
    monkeypatch.setattr("d3rlpy_distill.matching.gradients.scale", lambda learner, x: x / 255)
    learner = build_learner(PIXELS, (3, 16, 16), 4, seed=1)
    learner_network(learner).double()
    generator = torch.Generator().manual_seed(0)
    samples = (255 * torch.rand(4, 3, 16, 16, generator=generator)).requires_grad_()
    actions = torch.tensor([0, 1, 2, 3])
    target = [torch.randn(p.shape, generator=generator) for p in learner_network(learner).parameters()]

    def objective(x: torch.Tensor) -> torch.Tensor:
        return squared_error(target, synthetic_gradient(learner, x, actions))

    (gradient,) = torch.autograd.grad(objective(samples), samples)
    assert gradient.abs().max() > 0
    flat = gradient.flatten().abs().topk(3).indices
    for k in flat.tolist():
        values = []
        for sign in (1, -1):
            moved = samples.detach().clone().flatten()
            moved[k] += sign * 1e-3
            values.append(objective(moved.view_as(samples)).item())
        assert gradient.flatten()[k].item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=1e-3)


@pytest.mark.parametrize("theta", ["random", "trajectory"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_distillation_lowers_its_objective(theta: str, optimizer: str, starpilot: ReplayBuffer) -> None:
    config = GradientMatchingConfig(
        paper_student(Budget(10, 32)), 30, theta=theta, optimizer=optimizer, distance="cosine",  # type: ignore[arg-type]
        learning_rate=2.0 if optimizer == "adam" else 1e6, real_batch_size=64, trajectory_length=3,
    )  # fmt: skip
    losses: list[float] = []
    synthetic = config.create().fit(starpilot, 12, on_step=lambda step, loss: losses.append(loss))
    assert len(losses) == 12 and np.isfinite(losses).all()
    data = TransitionArrays.from_buffer(synthetic)
    assert len(data) == 30 and data.observations.dtype == np.uint8


def test_matching_at_given_weights_converges(starpilot: ReplayBuffer) -> None:
    expert = load_expert("starpilot").as_learner()
    config = dataclasses.replace(paper_matching(expert.config, n_samples=30), optimizer="adam", learning_rate=3.0)
    losses: list[float] = []
    config.create(weights=learner_network(expert).state_dict()).fit(
        starpilot, 15, on_step=lambda step, loss: losses.append(loss)
    )
    assert losses[-1] < 0.9 * losses[0]


def test_zero_steps_give_the_initial_frames(starpilot: ReplayBuffer) -> None:
    distiller = default_matching(n_samples=20).create()
    steps = sum(len(episode) for episode in starpilot.episodes)
    uniform = np.full((steps, 15), 1 / 15)
    synthetic = TransitionArrays.from_buffer(distiller.fit(starpilot, 0, probabilities=uniform))
    data = TransitionArrays.from_buffer(starpilot)
    np.testing.assert_array_equal(synthetic.observations, data.observations[distiller.source_index])
    np.testing.assert_array_equal(synthetic.returns_to_go, data.returns_to_go[distiller.source_index])


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("theta", ["random", "trajectory"])
def test_a_killed_run_resumes_to_the_same_bytes(theta: str, tmp_path: Path, starpilot: ReplayBuffer) -> None:
    config = GradientMatchingConfig(PIXELS, 12, theta=theta, real_batch_size=16, trajectory_length=4)  # type: ignore[arg-type]
    whole = TransitionArrays.from_buffer(config.create().fit(starpilot, 9))
    checkpoint = tmp_path / "checkpoint"

    def kill(step: int, loss: float) -> None:
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        config.create().fit(starpilot, 9, checkpoint=checkpoint, checkpoint_interval=3, on_step=kill)
    assert checkpoint.exists()
    steps: list[int] = []
    resumed = config.create().fit(
        starpilot,
        9,
        checkpoint=checkpoint,
        checkpoint_interval=3,
        on_step=lambda step, loss: steps.append(step),
    )
    assert steps == [7, 8, 9] and not checkpoint.exists()
    np.testing.assert_array_equal(TransitionArrays.from_buffer(resumed).observations, whole.observations)
    again = TransitionArrays.from_buffer(config.create().fit(starpilot, 9))
    np.testing.assert_array_equal(again.observations, whole.observations)
    other = TransitionArrays.from_buffer(dataclasses.replace(config, seed=1).create().fit(starpilot, 9))
    assert not np.array_equal(other.observations, whole.observations)


def test_foreign_and_damaged_checkpoints_are_refused(tmp_path: Path, starpilot: ReplayBuffer) -> None:
    config = GradientMatchingConfig(PIXELS, 12, real_batch_size=16)
    path = tmp_path / "checkpoint"

    def kill(step: int, loss: float) -> None:
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        config.create().fit(starpilot, 3, checkpoint=path, checkpoint_interval=1, on_step=kill)
    with pytest.raises(CheckpointError, match="differs in config"):
        dataclasses.replace(config, seed=5).create().fit(starpilot, 3, checkpoint=path)
    with pytest.raises(CheckpointError, match="differs in data"):
        config.create().fit(make_buffer([40], action_size=15, shape=(3, 64, 64)), 3, checkpoint=path)
    with pytest.raises(CheckpointError, match="differs in n_steps"):
        config.create().fit(starpilot, 1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="is damaged"):
        config.create().fit(starpilot, 3, checkpoint=path)


def test_a_checkpoint_of_other_given_weights_is_refused(tmp_path: Path, starpilot: ReplayBuffer) -> None:
    config = GradientMatchingConfig(PIXELS, 12, theta="given", real_batch_size=16)
    first, second = (learner_network(build_learner(PIXELS, (3, 64, 64), 15, seed=s)).state_dict() for s in (1, 2))
    path = tmp_path / "checkpoint"

    def kill(step: int, loss: float) -> None:
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        config.create(weights=first).fit(starpilot, 3, checkpoint=path, checkpoint_interval=1, on_step=kill)
    with pytest.raises(CheckpointError, match="differs in weights"):
        config.create(weights=second).fit(starpilot, 3, checkpoint=path)


def test_the_result_feeds_stock_d3rlpy(starpilot: ReplayBuffer) -> None:
    config = GradientMatchingConfig(PIXELS, 30, allocation="even", real_batch_size=16, output_dtype="float32")
    synthetic = config.create().fit(starpilot, 2)
    data = TransitionArrays.from_buffer(synthetic)
    assert data.observations.dtype == np.float32
    assert data.observations.min() >= 0 and data.observations.max() <= 255
    assert data.action_counts().max() - data.action_counts()[data.action_counts() > 0].min() <= 1
    file = io.BytesIO()
    synthetic.dump(file)  # type: ignore[arg-type]
    file.seek(0)
    loaded = ReplayBuffer.load(file, InfiniteBuffer())  # type: ignore[arg-type]
    quiet = {"logger_adapter": NoopAdapterFactory(), "show_progress": False}
    for algo in (DiscreteBCConfig(encoder_factory=PaperEncoderFactory()), DiscreteCQLConfig(batch_size=8)):
        learner = algo.create()
        learner.fit(loaded, n_steps=2, n_steps_per_epoch=2, **quiet)  # type: ignore[arg-type]
        assert learner.predict(data.observations[:2]).shape == (2,)


def test_pixels_stay_in_range_whatever_the_step(starpilot: ReplayBuffer) -> None:
    config = GradientMatchingConfig(PIXELS, 12, learning_rate=500.0, real_batch_size=16)
    observations = TransitionArrays.from_buffer(config.create().fit(starpilot, 2)).observations
    assert {0, 255} <= set(np.unique(observations))


def test_bad_settings_name_the_value() -> None:
    for bad, message in (
        ({"n_samples": 0}, "n_samples=0: expected 1 or more"),
        ({"distance": "l3"}, "distance='l3': expected one of l2, cosine"),
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"real_batch_size": 0}, "real_batch_size=0"),
    ):
        with pytest.raises(ValueError, match=message):
            GradientMatchingConfig(PIXELS, **bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="if and only if theta is 'given'"):
        GradientMatchingConfig(PIXELS, theta="given").create()


def test_unsuitable_data_is_refused(starpilot: ReplayBuffer) -> None:
    n = starpilot.transition_count
    with pytest.raises(UnsuitableDatasetError, match=f"n_samples={n + 1}: expected 1 to {n}"):
        GradientMatchingConfig(PIXELS, n + 1).create().fit(starpilot, 0)
    with pytest.raises(UnsuitableDatasetError, match="output_dtype='float32'"):
        GradientMatchingConfig(SMALL, 3).create().fit(vector_buffer(), 1)


def test_scale_is_differentiable_and_channels_last() -> None:
    learner = build_learner(PIXELS, (3, 16, 16), 4, seed=0)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    scaled = scale(learner, x)
    assert scaled.is_contiguous(memory_format=torch.channels_last)
    scaled.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 / 255))
