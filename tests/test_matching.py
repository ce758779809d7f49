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
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer, ReplayBufferBase
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models.encoders import VectorEncoderFactory
from torch.nn import functional as F

from buffers import distil, make_buffer, paper_learner
from d3rlpy_distill import (
    Budget,
    GradientMatchingConfig,
    OfflineDataset,
    PaperEncoderFactory,
    Run,
    TransitionArrays,
    make_task,
)
from d3rlpy_distill.errors import CheckpointError, DistillError, SettingsError, UnsuitableDatasetError
from d3rlpy_distill.learners.gradients import real_gradient, synthetic_gradient
from d3rlpy_distill.learners.learner import build_learner, learner_network, scale
from d3rlpy_distill.methods.base import Expert
from d3rlpy_distill.methods.distance import DISTANCES, layerwise_cosine, squared_error
from d3rlpy_distill.methods.gradient import GradientObjective
from d3rlpy_distill.methods.theta import GivenTheta
from d3rlpy_distill.students.paper import PaperStudent

SMALL = DiscreteBCConfig(
    batch_size=8, learning_rate=1e-2, encoder_factory=VectorEncoderFactory(hidden_units=[5]), beta=0.3
)
PIXELS = paper_learner(Budget(10, 8))


@pytest.fixture
def double() -> Iterator[None]:
    """Float64 throughout: finite differences need it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def small(starpilot: ReplayBufferBase) -> ReplayBuffer:
    """Every fourth pixel of starpilot's frames, 16x16: what the paper's network reads at least."""
    episodes = [
        dataclasses.replace(episode, observations=np.ascontiguousarray(episode.observations[:, :, ::4, ::4]))  # type: ignore[type-var]
        for episode in starpilot.episodes
    ]
    return ReplayBuffer(InfiniteBuffer(), episodes=episodes, action_size=15)  # type: ignore[arg-type]


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
    training = "d3rlpy_distill.learners.training"
    monkeypatch.setattr(f"{training}.autocast", lambda device: torch.autocast("cpu", enabled=False))
    monkeypatch.setattr(f"{training}.scale", lambda learner, x: torch.from_numpy(np.asarray(x)).double())
    monkeypatch.setattr("d3rlpy_distill.learners.gradients.scale", lambda learner, x: x)
    data = TransitionArrays.from_buffer(vector_buffer())
    learner = build_learner(SMALL, (3,), 3, seed=4)
    weights = learner_network(learner).state_dict()
    config = GradientMatchingConfig(
        learner=SMALL,
        n_samples=6,
        theta="given",
        weights=weights,
        distance=distance,  # type: ignore[arg-type]
        grouping=grouping,  # type: ignore[arg-type]
        real_batch_size=None,
        output_dtype="float32",
    )
    theta = GivenTheta(SMALL, data, weights, "cpu:0")
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
    monkeypatch.setattr("d3rlpy_distill.learners.gradients.scale", lambda learner, x: x / 255)
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


def learnable_buffer(n: int = 200) -> ReplayBuffer:
    """One episode of vectors that decide the action."""
    rng = np.random.default_rng(1)
    observations = rng.normal(size=(n, 3)).astype(np.float32)
    actions = (observations @ rng.normal(size=(3, 3))).argmax(1).astype(np.int32)
    episode = Episode(observations, actions[:, None], np.zeros((n, 1), np.float32), True)
    return ReplayBuffer(InfiniteBuffer(), episodes=[episode], action_size=3)


@pytest.mark.parametrize("distance", ["l2", "cosine"])
@pytest.mark.parametrize("theta", ["random", "trajectory"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_distillation_lowers_its_objective(theta: str, optimizer: str, distance: str) -> None:
    """The samples' gradient comes nearer to that of all data, at initialisations that no step has seen."""
    buffer = learnable_buffer()
    learner = DiscreteBCConfig(
        batch_size=32, learning_rate=1e-2, beta=0.0, encoder_factory=VectorEncoderFactory(hidden_units=[16])
    )
    rate = 0.1 if optimizer == "adam" else {"l2": 3.0, "cosine": 0.3}[distance]
    config = GradientMatchingConfig(
        learner=learner, n_samples=6, shared_observations=2, steps=50, theta=theta, optimizer=optimizer,  # type: ignore[arg-type]
        distance=distance, learning_rate=rate, real_batch_size=None, trajectory_length=5,  # type: ignore[arg-type]
        output_dtype="float32",
    )  # fmt: skip
    losses: list[float] = []
    distilled = distil(config, buffer, run=Run(on_step=lambda step, total, loss: losses.append(loss)))
    assert len(losses) == 50 and np.isfinite(losses).all() and distilled.initial is not None
    data = TransitionArrays.from_buffer(buffer)
    before, after = [], []
    for seed in range(100, 108):
        unseen = build_learner(learner, (3,), 3, seed=seed)
        real = real_gradient(unseen, data, np.arange(len(data)))
        for samples, values in ((distilled.initial, before), (distilled.samples, after)):
            inputs = (torch.from_numpy(samples.observations), torch.from_numpy(samples.actions))
            values.append(DISTANCES[distance](real, synthetic_gradient(unseen, *inputs)).item())
    # measured: 0.42 to 0.03 (l2) and 2.3 to 0.3 (cosine)
    assert np.mean(after) < 0.25 * np.mean(before)


@pytest.mark.parametrize("theta", ["random", "trajectory"])
def test_pixels_move_on_real_frames(theta: str, starpilot: ReplayBufferBase) -> None:
    config = GradientMatchingConfig(
        learner=paper_learner(Budget(10, 32)), n_samples=30, steps=3, theta=theta, real_batch_size=32,  # type: ignore[arg-type]
        trajectory_length=2,
    )  # fmt: skip
    losses: list[float] = []
    distilled = distil(config, starpilot, run=Run(on_step=lambda step, total, loss: losses.append(loss)))
    assert len(losses) == 3 and np.isfinite(losses).all() and distilled.initial is not None
    assert len(distilled) == 30 and distilled.samples.observations.dtype == np.uint8
    moved = distilled.samples.observations.astype(int) - distilled.initial.observations
    assert 1 <= np.abs(moved).max() <= 6  # Adam at one grey level a step; its first steps are a little longer


def test_matching_at_given_weights_converges(starpilot: ReplayBufferBase) -> None:
    few = ReplayBuffer(InfiniteBuffer(), episodes=starpilot.episodes[:2], action_size=15)  # type: ignore[arg-type]
    dataset = OfflineDataset(few)
    config = GradientMatchingConfig.preset(
        dataset,
        PaperStudent(),
        name="paper",
        settings={"n_samples": 30, "optimizer": "adam", "learning_rate": 0.3, "steps": 6},
        expert=lambda: make_task("procgen/starpilot").load_policy("starpilot@1"),
    )
    assert config.learner.encoder_factory.get_type() == "impala"
    losses: list[float] = []
    config.distill(dataset, np.random.default_rng(0), Run(on_step=lambda step, total, loss: losses.append(loss)))
    assert losses[-1] < 0.8 * losses[0]  # measured: 0.60


def test_zero_steps_give_the_initial_frames(starpilot: ReplayBufferBase) -> None:
    steps = sum(len(episode) for episode in starpilot.episodes)
    dataset = OfflineDataset(starpilot, behaviour=np.full((steps, 15), 1 / 15))
    config = GradientMatchingConfig.preset(dataset, PaperStudent(), settings={"n_samples": 20, "steps": 0})
    assert config.sharpness == 4 and config.shared_observations == 10
    distilled = config.distill(dataset, np.random.default_rng(0))
    assert distilled.sources is not None and distilled.initial is not None
    data = dataset.transitions
    np.testing.assert_array_equal(distilled.samples.observations, data.observations[distilled.sources])
    np.testing.assert_array_equal(distilled.samples.returns_to_go, data.returns_to_go[distilled.sources])
    np.testing.assert_array_equal(distilled.initial.observations, distilled.samples.observations)
    assert (np.diff(distilled.samples.actions) >= 0).all()  # grouped by action


class Killed(Exception):
    """Stands for a kill."""


def kill_at(last: int, checkpoint: Path, interval: int) -> Run:
    """A run that dies when it is told of a step."""

    def kill(step: int, total: int, loss: float) -> None:
        if step == last:
            raise Killed

    return Run(checkpoint=checkpoint, checkpoint_interval=interval, on_step=kill)


@pytest.mark.parametrize("theta", ["random", "trajectory"])
def test_a_killed_run_resumes_to_the_same_bytes(theta: str, tmp_path: Path, small: ReplayBuffer) -> None:
    config = GradientMatchingConfig(
        learner=PIXELS, n_samples=12, steps=9, theta=theta, real_batch_size=16, trajectory_length=4  # type: ignore[arg-type]
    )  # fmt: skip
    whole = distil(config, small).samples
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        distil(config, small, run=kill_at(8, checkpoint, 3))
    assert checkpoint.exists()
    steps: list[int] = []
    resumed = distil(
        config,
        small,
        run=Run(
            checkpoint=checkpoint,
            checkpoint_interval=3,
            on_step=lambda step, total, loss: steps.append(step),
        ),
    )
    assert steps == [7, 8, 9] and not checkpoint.exists()
    np.testing.assert_array_equal(resumed.samples.observations, whole.observations)
    np.testing.assert_array_equal(distil(config, small).samples.observations, whole.observations)
    other = distil(config, small, seed=1).samples
    assert not np.array_equal(other.observations, whole.observations)


def test_foreign_and_damaged_checkpoints_are_refused(tmp_path: Path, small: ReplayBuffer) -> None:
    config = GradientMatchingConfig(learner=PIXELS, n_samples=12, steps=3, real_batch_size=16)
    path = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        distil(config, small, run=kill_at(2, path, 1))
    run = Run(checkpoint=path)
    with pytest.raises(CheckpointError, match=r"differs in rng\)"):
        distil(config, small, seed=5, run=run)
    with pytest.raises(CheckpointError, match=r"differs in config\)"):
        distil(dataclasses.replace(config, real_batch_size=17), small, run=run)
    with pytest.raises(CheckpointError, match="differs in data"):
        distil(config, make_buffer([40], action_size=15), run=run)
    with pytest.raises(CheckpointError, match="n_steps"):
        distil(dataclasses.replace(config, steps=1), small, run=run)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="is damaged"):
        distil(config, small, run=run)


def test_a_checkpoint_of_other_given_weights_is_refused(tmp_path: Path, small: ReplayBuffer) -> None:
    first, second = (learner_network(build_learner(PIXELS, (3, 16, 16), 15, seed=s)).state_dict() for s in (1, 2))
    config = GradientMatchingConfig(
        learner=PIXELS, n_samples=12, steps=3, theta="given", weights=first, real_batch_size=16
    )
    path = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        distil(config, small, run=kill_at(2, path, 1))
    with pytest.raises(CheckpointError, match=r"differs in weights\)"):
        distil(dataclasses.replace(config, weights=second), small, run=Run(checkpoint=path))


def test_the_result_feeds_stock_d3rlpy(starpilot: ReplayBufferBase) -> None:
    config = GradientMatchingConfig(
        learner=PIXELS, n_samples=30, steps=2, allocation="even", real_batch_size=16, output_dtype="float32"
    )
    distilled = distil(config, starpilot)
    data = distilled.samples
    assert data.observations.dtype == np.float32
    assert data.observations.min() >= 0 and data.observations.max() <= 255
    assert data.action_counts().max() - data.action_counts()[data.action_counts() > 0].min() <= 1
    file = io.BytesIO()
    distilled.to_buffer().dump(file)  # type: ignore[arg-type]
    file.seek(0)
    loaded = ReplayBuffer.load(file, InfiniteBuffer())  # type: ignore[arg-type]
    quiet = {"logger_adapter": NoopAdapterFactory(), "show_progress": False}
    for algo in (DiscreteBCConfig(encoder_factory=PaperEncoderFactory()), DiscreteCQLConfig(batch_size=8)):
        learner = algo.create()
        learner.fit(loaded, n_steps=2, n_steps_per_epoch=2, **quiet)  # type: ignore[arg-type]
        assert learner.predict(data.observations[:2]).shape == (2,)


def test_pixels_stay_in_range_whatever_the_step(starpilot: ReplayBufferBase) -> None:
    config = GradientMatchingConfig(learner=PIXELS, n_samples=12, steps=2, learning_rate=500.0, real_batch_size=16)
    assert {0, 255} <= set(np.unique(distil(config, starpilot).samples.observations))


def test_bad_settings_name_the_value() -> None:
    for bad, message in (
        ({"n_samples": 0}, "n_samples=0: expected 1 or more"),
        ({"steps": -1}, "steps=-1: expected 0 or more or None"),
        ({"distance": "l3"}, "distance='l3': expected one of l2, cosine"),
        ({"momentum": 1.0}, r"momentum=1\.0: expected 0 or more and below 1"),
        ({"learning_rate": -1.0}, r"learning_rate=-1\.0: expected above 0"),
        ({"real_batch_size": 0}, "real_batch_size=0: expected 1 or more or None"),
        ({"trajectory_length": 0}, "trajectory_length=0"),
        ({"trajectory_stride": 0}, "trajectory_stride=0"),
    ):
        with pytest.raises(SettingsError, match=message):
            GradientMatchingConfig(learner=PIXELS, **bad)  # type: ignore[arg-type]
    for weights in ({"theta": "given"}, {"weights": {}}):
        with pytest.raises(SettingsError, match="if and only if theta is 'given'"):
            GradientMatchingConfig(learner=PIXELS, **weights)  # type: ignore[arg-type]


def test_given_weights_go_before_the_expert_s(small: ReplayBuffer) -> None:
    mine = learner_network(build_learner(PIXELS, (3, 16, 16), 4, seed=1)).state_dict()

    def expert() -> Expert:
        raise AssertionError("nobody asked for the expert")

    settings = {"theta": "given", "weights": mine}
    method = GradientMatchingConfig.preset(OfflineDataset(small), PaperStudent(), settings=settings, expert=expert)
    assert method.weights is mine


def test_weights_that_do_not_fit_are_named(starpilot: ReplayBufferBase) -> None:
    other = learner_network(build_learner(PIXELS, (3, 64, 64), 4, seed=0)).state_dict()
    config = GradientMatchingConfig(learner=PIXELS, n_samples=12, theta="given", weights=other)
    with pytest.raises(DistillError, match="the given weights do not fit the learner's network: size mismatch"):
        distil(config, starpilot)


def test_unsuitable_data_is_refused(starpilot: ReplayBufferBase) -> None:
    n = starpilot.transition_count
    with pytest.raises(UnsuitableDatasetError, match=f"n_samples={n + 1}: expected 1 to {n}"):
        distil(GradientMatchingConfig(learner=PIXELS, n_samples=n + 1, steps=0), starpilot)
    with pytest.raises(UnsuitableDatasetError, match="output_dtype='float32'"):
        distil(GradientMatchingConfig(learner=SMALL, n_samples=3, steps=1), vector_buffer())


def test_scale_is_differentiable_and_channels_last() -> None:
    learner = build_learner(PIXELS, (3, 16, 16), 4, seed=0)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    scaled = scale(learner, x)
    assert scaled.is_contiguous(memory_format=torch.channels_last)
    scaled.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 / 255))
