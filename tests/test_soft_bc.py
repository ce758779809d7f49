"""Cloning of soft labels as an algorithm of d3rlpy: its loss, its ``fit``, its files."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.preprocessing import PixelObservationScaler, StandardObservationScaler
from d3rlpy.torch_utility import TorchMiniBatch

from buffers import distil, make_buffer, paper_learner
from d3rlpy_distill import (
    Budget,
    Distilled,
    GradientMatchingConfig,
    LabelDistillationConfig,
    PaperEncoderFactory,
    Run,
    SoftBC,
    SoftBCConfig,
    TransitionArrays,
    one_step_buffer,
)
from d3rlpy_distill.errors import UnsuitableDatasetError
from d3rlpy_distill.learners.learner import build_learner, learner_network
from d3rlpy_distill.learners.soft_cloning import soft_cloning_loss
from d3rlpy_distill.learners.stock import seeded
from d3rlpy_distill.learners.training import Trainer

SMALL = VectorEncoderFactory(hidden_units=[8])
QUIET: dict[str, Any] = {"logger_adapter": NoopAdapterFactory(), "show_progress": False}


def vector_set(labels: np.ndarray, n: int = 24) -> Distilled:
    """Samples of vectors with soft labels ``(n, A)``."""
    rng = np.random.default_rng(0)
    return Distilled(
        TransitionArrays.one_step(
            rng.normal(size=(n, 4)).astype(np.float32),
            labels.argmax(1),
            np.zeros(n, np.float32),
            labels.shape[1],
            labels.astype(np.float32),
        )
    )


def soft_labels(n: int = 24, size: int = 3) -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(size), n).astype(np.float32)


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_its_loss_is_soft_cloning_and_for_labels_on_one_action_that_of_discrete_bc(beta: float) -> None:
    soft = build_learner(SoftBCConfig(beta=beta, encoder_factory=SMALL), (4,), 3, seed=0)
    hard = build_learner(DiscreteBCConfig(beta=beta, encoder_factory=SMALL), (4,), 3, seed=0)
    x, q = torch.randn(7, 4), torch.softmax(torch.randn(7, 3), 1)
    ours = soft.impl.compute_loss(x, q)
    torch.testing.assert_close(ours.loss, soft_cloning_loss(learner_network(soft), x, q, beta))
    log_pi = learner_network(soft)(x).logits
    log_pi = log_pi - log_pi.logsumexp(1, keepdim=True)
    cross_entropy = -(q * log_pi).sum(1).mean()
    penalty = beta * (log_pi**2).mean()
    torch.testing.assert_close(ours.imitation_loss, cross_entropy)
    torch.testing.assert_close(ours.regularization_loss, penalty)
    torch.testing.assert_close(ours.loss, cross_entropy + penalty)
    actions = torch.arange(7) % 3
    one_hot = soft.impl.compute_loss(x, torch.eye(3)[actions])
    theirs = hard.impl.compute_loss(x, actions)
    of_actions = soft.impl.compute_loss(x, actions)
    for name in ("loss", "imitation_loss", "regularization_loss"):
        torch.testing.assert_close(getattr(one_hot, name), getattr(theirs, name))
        torch.testing.assert_close(getattr(of_actions, name), getattr(theirs, name))


def test_updates_on_one_hot_labels_are_those_of_discrete_bc() -> None:
    """d3rlpy's own update with its own batches: the same weights after several steps, scalers included."""
    actions = np.arange(24) % 3
    distilled = vector_set(np.eye(3)[actions])
    settings: dict[str, Any] = {
        "batch_size": 8,
        "learning_rate": 1e-2,
        "beta": 0.3,
        "encoder_factory": SMALL,
        "observation_scaler": StandardObservationScaler(mean=np.full(4, 0.5), std=np.full(4, 2.0)),
    }
    soft, hard = SoftBCConfig(**settings).create(), DiscreteBCConfig(**settings).create()
    for learner in (soft, hard):
        learner.create_impl((4,), 3)
    learner_network(hard).load_state_dict(copy.deepcopy(learner_network(soft).state_dict()))
    for learner, buffer in ((soft, distilled.to_buffer(soft=True)), (hard, distilled.to_buffer())):
        with seeded(3):
            learner.fit(buffer, n_steps=6, n_steps_per_epoch=6, **QUIET)
    for ours, theirs in zip(learner_network(soft).parameters(), learner_network(hard).parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "d3rlpy_distill.learners.training.autocast", lambda device: torch.autocast("cpu", enabled=False)
    )


def test_d3rlpys_own_fit_and_the_fast_training_take_the_same_step(float32: None) -> None:
    """One update on one batch of soft labels, by d3rlpy's ``inner_update`` and by our Trainer."""
    distilled = vector_set(soft_labels())
    settings: dict[str, Any] = {"batch_size": 24, "learning_rate": 1e-2, "encoder_factory": SMALL, "beta": 0.1}
    theirs = build_learner(SoftBCConfig(**settings), (4,), 3, seed=0)
    ours = build_learner(DiscreteBCConfig(**settings), (4,), 3, seed=0)

    class Everything:
        def integers(self, high: int, size: int) -> np.ndarray:
            assert high == size == 24
            return np.arange(24)

    loss = Trainer(ours, distilled.samples, Everything()).step()  # type: ignore[arg-type]
    buffer = distilled.to_buffer(soft=True)
    picks = [buffer.transition_picker(episode, 0) for episode in buffer.episodes]
    batch = TorchMiniBatch.from_batch(
        d3rlpy.dataset.TransitionMiniBatch.from_transitions(picks), 0.99, False, "cpu:0"
    )
    assert theirs.impl.inner_update(batch, 0)["loss"] == pytest.approx(loss, rel=1e-5)
    for a, b in zip(learner_network(ours).parameters(), learner_network(theirs).parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_methods_match_it_as_they_match_discrete_bc(float32: None) -> None:
    settings: dict[str, Any] = {"batch_size": 8, "encoder_factory": SMALL, "beta": 0.2}
    losses: list[list[float]] = [[], []]
    for config, told in zip((SoftBCConfig, DiscreteBCConfig), losses, strict=True):
        method = GradientMatchingConfig(
            learner=config(**settings), n_samples=4, steps=3, real_batch_size=8, optimizer="sgd",
            learning_rate=1e-3, output_dtype="float32",
        )  # fmt: skip
        distil(
            method,
            make_buffer([20], shape=(4,), action_size=3),
            run=Run(on_step=lambda step, total, loss, told=told: told.append(loss)),  # type: ignore[misc]
        )
    assert len(losses[0]) == 3 and losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_it_takes_on_the_probabilities_by_d3rlpys_fit() -> None:
    """The same observation with the same label everywhere: its policy becomes the label."""
    labels = np.tile(np.float32([[0.6, 0.3, 0.1]]), (24, 1))
    distilled = vector_set(labels)
    samples = dataclasses.replace(distilled.samples, observations=np.zeros((24, 4), np.float32))
    learner = SoftBCConfig(batch_size=24, learning_rate=1e-2, encoder_factory=SMALL).create()
    learner.fit(Distilled(samples).to_buffer(soft=True), n_steps=300, n_steps_per_epoch=300, **QUIET)
    with torch.no_grad():
        policy = torch.softmax(learner_network(learner)(torch.zeros(1, 4)).logits, 1).numpy()
    np.testing.assert_allclose(policy, labels[:1], atol=0.02)
    predicted = learner.predict(np.zeros((2, 4), np.float32))
    assert predicted.tolist() == [0, 0] and np.issubdtype(predicted.dtype, np.integer)


@pytest.fixture(scope="module")
def pixel_set() -> Distilled:
    config = LabelDistillationConfig(
        learner=paper_learner(Budget(1, 8)), n_samples=10, teacher_steps=3, n_teachers=2
    )
    return distil(config, make_buffer([12, 12]))


def test_a_distilled_set_of_images_trains_it(pixel_set: Distilled) -> None:
    buffer = pixel_set.to_buffer(soft=True)
    assert buffer.episodes[0].actions.shape == (1, 4) and buffer.episodes[0].actions.dtype == np.float32
    assert pixel_set.samples.probabilities is not None
    rows = np.concatenate([episode.actions for episode in buffer.episodes])
    np.testing.assert_array_equal(rows, pixel_set.samples.probabilities)
    config = SoftBCConfig(
        batch_size=5, encoder_factory=PaperEncoderFactory(), observation_scaler=PixelObservationScaler()
    )
    assert config.beta == 0  # d3rlpy's own default, 0.5, is too strong
    learner = config.create()
    history = learner.fit(buffer, n_steps=4, n_steps_per_epoch=2, **QUIET)
    assert [epoch for epoch, _ in history] == [1, 2]
    assert all(np.isfinite(metrics["loss"]) for _, metrics in history)
    assert learner.action_size == 4 and isinstance(learner, SoftBC)
    predicted = learner.predict(pixel_set.samples.observations)
    assert predicted.shape == (10,) and np.issubdtype(predicted.dtype, np.integer)
    assert predicted.min() >= 0 and predicted.max() < 4
    with torch.no_grad():
        logits = learner_network(learner)(torch.from_numpy(pixel_set.samples.observations).float() / 255).logits
    np.testing.assert_array_equal(predicted, logits.argmax(1).numpy())
    sampled = learner.sample_action(pixel_set.samples.observations)
    assert sampled.shape == (10,) and np.issubdtype(sampled.dtype, np.integer)


def test_a_set_without_soft_labels_says_so() -> None:
    hard = Distilled(TransitionArrays.from_buffer(make_buffer([1, 1])))
    with pytest.raises(UnsuitableDatasetError, match="no soft labels: expected soft=False"):
        hard.to_buffer(soft=True)


LOADING = """
import sys, numpy as np, d3rlpy, d3rlpy_distill
learner = d3rlpy.load_learnable(sys.argv[1])
assert type(learner).__name__ == "SoftBC", type(learner)
observations = np.load(sys.argv[2])
np.testing.assert_array_equal(learner.predict(observations), np.load(sys.argv[3]))
buffer = d3rlpy_distill.Distilled.load(sys.argv[4]).to_buffer(soft=True)
learner.fit(buffer, n_steps=1, n_steps_per_epoch=1, logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
            show_progress=False)
assert not any(name.split(".")[0] == "rld_distill" for name in sys.modules)
"""


def test_its_files_load_like_any_others_in_a_process_that_imports_the_two_packages(
    pixel_set: Distilled, tmp_path: Path
) -> None:
    config = SoftBCConfig(
        batch_size=5, encoder_factory=PaperEncoderFactory(), observation_scaler=PixelObservationScaler()
    )
    learner = config.create()
    learner.fit(pixel_set.to_buffer(soft=True), n_steps=3, n_steps_per_epoch=3, **QUIET)
    files = [tmp_path / name for name in ("soft.d3", "observations.npy", "actions.npy", "set.h5")]
    learner.save(str(files[0]))
    np.save(files[1], pixel_set.samples.observations)
    np.save(files[2], learner.predict(pixel_set.samples.observations))
    pixel_set.save(files[3])
    result = subprocess.run(
        [sys.executable, "-c", LOADING, *map(str, files)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    # and its configuration by d3rlpy's JSON
    learner.save_model(str(tmp_path / "weights.pt"))
    again = SoftBCConfig.deserialize(config.serialize()).create()
    again.create_impl((3, 16, 16), 4)
    again.load_model(str(tmp_path / "weights.pt"))
    np.testing.assert_array_equal(
        again.predict(pixel_set.samples.observations), learner.predict(pixel_set.samples.observations)
    )


def test_the_buffer_of_soft_labels_survives_d3rlpys_own_file(pixel_set: Distilled, tmp_path: Path) -> None:
    path = tmp_path / "soft.h5"
    with path.open("w+b") as file:
        pixel_set.to_buffer(soft=True).dump(file)
    loaded = ReplayBuffer.load(str(path), InfiniteBuffer())
    learner = SoftBCConfig(
        batch_size=5, encoder_factory=PaperEncoderFactory(), observation_scaler=PixelObservationScaler()
    ).create()
    learner.fit(loaded, n_steps=1, n_steps_per_epoch=1, **QUIET)
    assert learner.action_size == 4


def test_integer_actions_are_refused_by_d3rlpy() -> None:
    """What is not a distribution is stopped before the first step, not trained on."""
    hard = one_step_buffer(np.zeros((6, 4), np.float32), np.arange(6) % 3, np.zeros(6, np.float32), 3)
    with pytest.raises(AssertionError, match="action"):
        SoftBCConfig(batch_size=2).create().fit(hard, n_steps=1, n_steps_per_epoch=1, **QUIET)
