"""The students' networks: what is faster than torch's is the same bit for bit, and stock d3rlpy can export it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from d3rlpy.algos import DiscreteBC, DiscreteBCConfig

from d3rlpy_distill import PaperEncoderFactory
from d3rlpy_distill.learners.learner import build_learner, imitator_logits
from d3rlpy_distill.students.impala_encoder import fold
from d3rlpy_distill.students.mean_pool import mean_pool
from d3rlpy_distill.students.rectify import relu_

DTYPES = (torch.float64, torch.float32, torch.bfloat16)
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def derivatives(pool: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """The values, a gradient and a gradient of the gradient."""
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    pooled = pool(leaf)
    (first,) = torch.autograd.grad((pooled**3).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad((first**2).sum(), leaf)
    return [pooled.detach(), first.detach(), second]


def average(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 2)


@pytest.mark.parametrize("size", [(64, 64), (9, 8), (8, 17), (2, 3)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_pool_is_torchs(dtype: torch.dtype, layout: torch.memory_format, size: tuple[int, int]) -> None:
    x = numbers(3, 12, *size).to(dtype).contiguous(memory_format=layout)
    for found, expected in zip(derivatives(mean_pool, x), derivatives(average, x), strict=True):
        assert torch.equal(found, expected)
    with torch.no_grad():
        assert torch.equal(mean_pool(x), average(x))


def test_mean_pool_serves_several_networks_at_once() -> None:
    x = numbers(4, 2, 3, 8, 8)
    for pool in (mean_pool, average):
        alone = torch.stack([pool(one) for one in x])
        assert torch.equal(torch.func.vmap(pool)(x), alone)

    def slope(pool: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return torch.func.vmap(torch.func.grad(lambda one: (pool(one) ** 2).sum()))(x)

    assert torch.equal(slope(mean_pool), slope(average))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_is_torchs(dtype: torch.dtype, layout: torch.memory_format) -> None:
    special = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), 1e-40, -1e-40, 3e38])
    x = torch.cat([special, numbers(2 * 3 * 8 * 8 - len(special))]).view(2, 3, 8, 8)
    x = x.to(dtype).contiguous(memory_format=layout)
    with torch.no_grad():
        assert torch.equal(relu_(x.clone()), torch.relu(x))


def test_relu_passes_gradients_on() -> None:
    for dtype in DTYPES:
        leaf = numbers(2, 3, 8, 8).to(dtype).requires_grad_()
        relu_(leaf * 1).sum().backward()
        assert leaf.grad is not None and torch.equal(leaf.grad, (leaf > 0).to(dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_folding_is_torchs(dtype: torch.dtype, layout: torch.memory_format) -> None:
    x = numbers(5, 3, 6, 8).to(dtype).contiguous(memory_format=layout)
    for moved in (x, x.clone(memory_format=torch.preserve_format).requires_grad_()):
        assert torch.equal(fold(moved, 2), F.pixel_unshuffle(x, 2))


def student(seed: int) -> DiscreteBC:
    return build_learner(DiscreteBCConfig(encoder_factory=PaperEncoderFactory()), (3, 64, 64), 15, seed=seed)


def test_a_diverged_student_shows_it() -> None:
    learner = student(0)
    for weights in learner.impl.modules.imitator.parameters():
        torch.nn.init.constant_(weights, float("nan"))
    assert torch.isnan(imitator_logits(learner, numbers(2, 3, 64, 64))).all()


def test_stock_d3rlpy_exports_a_student(tmp_path: Path) -> None:
    learner, frames = student(0), 1000 * numbers(64, 3, 1, 1).expand(-1, -1, 64, 64).contiguous()
    learner.save_policy(str(tmp_path / "student.pt"))
    expected = list(learner.predict(frames.numpy()))
    assert len(set(expected)) > 1
    assert torch.jit.load(tmp_path / "student.pt")(frames).tolist() == expected
