"""Fast students against stock d3rlpy: the same network, loss and update, only faster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from d3rlpy.algos import DiscreteBC
from d3rlpy.base import load_learnable
from d3rlpy.dataset import ReplayBufferBase
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models.torch.imitators import compute_discrete_imitation_loss
from d3rlpy.torch_utility import TorchMiniBatch

from buffers import paper_learner
from d3rlpy_distill import (
    PAPER_SMALL,
    Budget,
    ConvergenceConfig,
    OfflineDataset,
    TransitionArrays,
    one_step_buffer,
)
from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.learners.convergence import train_to_convergence
from d3rlpy_distill.learners.learner import build_learner, learner_network, scale
from d3rlpy_distill.learners.training import Trainer, accumulate_gradient, held_out_loss, train_learner
from d3rlpy_distill.students.cloning import ImitatorPolicy
from procgen_datasets import TRAIN_LEVELS
from procgen_datasets.player import ProcgenPlayer


@pytest.fixture(scope="module")
def data(starpilot_dataset: OfflineDataset) -> TransitionArrays:
    return starpilot_dataset.transitions


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "d3rlpy_distill.learners.training.autocast", lambda device: torch.autocast("cpu", enabled=False)
    )


def test_the_student_has_the_papers_parameters() -> None:
    learner = build_learner(paper_learner(PAPER_SMALL), (3, 64, 64), 15, seed=0)
    assert sum(p.numel() for p in learner_network(learner).parameters()) == 11_826


def test_pieces_add_up_to_the_batch_gradient_of_d3rlpys_loss(data: TransitionArrays, float32: None) -> None:
    config = paper_learner(Budget(1, 150))
    config.beta = 0.5
    learner = build_learner(config, (3, 64, 64), 15, seed=1)
    batch = np.arange(150)
    loss = accumulate_gradient(learner, data, batch)
    network = learner_network(learner)
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    x = torch.from_numpy(data.observations[batch]).float() / 255
    expected = compute_discrete_imitation_loss(network, x, torch.from_numpy(data.actions[batch]), 0.5).loss  # type: ignore[arg-type]
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for mine, parameter in zip(gradients, network.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-3, atol=1e-6)


def test_one_step_is_d3rlpys_update(data: TransitionArrays, starpilot: ReplayBufferBase, float32: None) -> None:
    """In float32, the weights after one step equal those of ``DiscreteBC.update`` on the same batch."""
    config = paper_learner(Budget(1, 32))
    ours = build_learner(config, (3, 64, 64), 15, seed=2)
    theirs = build_learner(config, (3, 64, 64), 15, seed=2)
    Trainer(ours, data, np.random.default_rng(0)).step()
    batch = starpilot.sample_transition_batch(32)
    index = np.random.default_rng(0).integers(len(data), size=32)
    torch_batch = TorchMiniBatch.from_batch(batch, gamma=0.99, compute_returns_to_go=False, device="cpu:0")
    object.__setattr__(torch_batch, "observations", scale(theirs, data.observations[index]))
    object.__setattr__(torch_batch, "actions", torch.from_numpy(data.actions[index, None]))
    theirs.impl.inner_update(torch_batch, 0)
    for a, b in zip(learner_network(ours).parameters(), learner_network(theirs).parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_student_depends_on_its_seed_alone(data: TransitionArrays) -> None:
    before = torch.get_rng_state()
    students = [train_learner(paper_learner(PAPER_SMALL), data, 3, seed=s) for s in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    weights = [torch.cat([p.flatten() for p in learner_network(s).parameters()]) for s in students]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_student_is_a_d3rlpy_object(data: TransitionArrays, tmp_path: Path) -> None:
    student = train_learner(paper_learner(PAPER_SMALL), data, 3, seed=0)
    student.save(str(tmp_path / "student.d3"))
    loaded = load_learnable(str(tmp_path / "student.d3"))
    assert isinstance(loaded, DiscreteBC)
    observations = data.observations[:20]
    np.testing.assert_array_equal(loaded.predict(observations), student.predict(observations))


def test_convergence_anneals_and_keeps_the_best_weights(
    data: TransitionArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = paper_learner(Budget(1, 32))
    convergence = ConvergenceConfig(steps=9, held_out=0.34, check_every=2, max_held_out=64)
    losses: list[float] = []
    weights: list[torch.Tensor] = []

    def flat(learner: DiscreteBC) -> torch.Tensor:
        return torch.cat([p.detach().flatten().clone() for p in learner_network(learner).parameters()])

    def watched(learner: DiscreteBC, data: TransitionArrays, watch: np.ndarray) -> float:
        assert len(watch) <= 64
        losses.append(held_out_loss(learner, data, watch))
        weights.append(flat(learner))
        return losses[-1]

    monkeypatch.setattr("d3rlpy_distill.learners.convergence.held_out_loss", watched)
    student, step = train_to_convergence(config, data, convergence, seed=0)
    best = int(np.argmin(losses))
    assert len(losses) == 5 and step == [2, 4, 6, 8, 9][best]
    assert torch.equal(weights[best], flat(student))
    assert student.impl.modules.optim.optim.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(SettingsError, match=r"held_out=1\.5"):
        ConvergenceConfig(held_out=1.5)
    with pytest.raises(SettingsError, match="expected 1 or more each"):
        ConvergenceConfig(steps=0)


@pytest.mark.slow
def test_fast_and_stock_students_agree_within_noise(data: TransitionArrays, starpilot: ReplayBufferBase) -> None:
    """Held-out accuracy and return of five students each, trained the fast way and by d3rlpy's own ``fit``.

    The means must lie within three standard errors of their difference.
    """
    budget = Budget(150, 64)
    held_out = data.episodes == data.episodes.max()
    fit = np.flatnonzero(~held_out)
    train = data.take(fit)
    buffer = one_step_buffer(train.observations, train.actions, train.rewards, train.action_size)
    player = ProcgenPlayer("starpilot", {"id": TRAIN_LEVELS}, 40, seed=0)
    scores: dict[str, list[tuple[float, float]]] = {"fast": [], "stock": []}
    for seed in range(5):
        fast = train_learner(paper_learner(budget), train, budget.n_steps, seed=seed)
        stock = build_learner(paper_learner(budget), (3, 64, 64), 15, seed=seed)
        np.random.seed(seed)  # noqa: NPY002  (d3rlpy samples from the global generator)
        stock.fit(
            buffer,
            n_steps=budget.n_steps,
            n_steps_per_epoch=budget.n_steps,
            logger_adapter=NoopAdapterFactory(),
            show_progress=False,
        )
        for name, student in (("fast", fast), ("stock", stock)):
            accuracy = (student.predict(data.observations[held_out]) == data.actions[held_out]).mean()
            returns = player.play([ImitatorPolicy(student)], split="id", mode="sampled").mean()
            scores[name].append((float(accuracy), float(returns)))
    fast_scores, stock_scores = np.array(scores["fast"]), np.array(scores["stock"])
    difference = np.abs(fast_scores.mean(0) - stock_scores.mean(0))
    error = np.sqrt(fast_scores.var(0, ddof=1) / 5 + stock_scores.var(0, ddof=1) / 5)
    assert (difference <= 3 * error).all(), (fast_scores, stock_scores)


def test_fewer_than_no_steps_are_refused(data: TransitionArrays) -> None:
    with pytest.raises(ValueError, match="n_steps=-1: expected 0 or more"):
        train_learner(paper_learner(PAPER_SMALL), data, -1, seed=0)
    for steps, batch in ((0, 1), (1, 0)):
        with pytest.raises(SettingsError, match=f"budget of {steps} x {batch}: expected 1 or more each"):
            Budget(steps, batch)
