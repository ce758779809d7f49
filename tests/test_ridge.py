"""Ridge regression and its kernels, against closed forms and automatic differentiation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBC, DiscreteBCConfig
from d3rlpy.models.encoders import VectorEncoderFactory

from d3rlpy_distill.learners.learner import build_learner, learner_features, learner_network
from d3rlpy_distill.methods.ridge import LastLayers, dense_layer, kernels, last_layers, ridge_regression
from d3rlpy_distill.students.impala_encoder import ImpalaEncoderFactory
from d3rlpy_distill.students.paper_encoder import PaperEncoderFactory


def imitator(activation: str = "relu") -> DiscreteBC:
    encoder = VectorEncoderFactory([7, 5], activation=activation)
    return build_learner(DiscreteBCConfig(encoder_factory=encoder), (4,), 3, seed=0)  # type: ignore[return-value]


def draws(*shapes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_it_is_ridge_regression_in_the_weights() -> None:
    """With as many samples as it takes, the closed form in the weights: (F'F + w I)^-1 F' y."""
    samples, features, logits = draws((20, 4), (7, 4), (20, 3))
    weight = 0.1 * (samples**2).sum(1).mean()
    normal = samples.T @ samples + weight * torch.eye(4, dtype=torch.float64)
    expected = features @ torch.linalg.solve(normal, samples.T @ logits)
    pair = kernels(LastLayers(features), LastLayers(samples), 0.0)
    torch.testing.assert_close(ridge_regression(*pair, logits, 0.1), expected)


def test_it_is_ridge_regression_with_few_samples() -> None:
    """The dual form equals the primal one: weights that minimise squared error plus lambda times their square."""
    samples, features, labels = draws((4, 6), (5, 6), (4, 2))
    weight = 0.1 * (samples**2).sum(1).mean()
    augmented = torch.cat([samples, weight.sqrt() * torch.eye(6, dtype=torch.float64)])
    padded = torch.cat([labels, torch.zeros(6, 2, dtype=torch.float64)])
    fitted = torch.linalg.lstsq(augmented, padded).solution
    pair = kernels(LastLayers(features), LastLayers(samples), 0.0)
    torch.testing.assert_close(ridge_regression(*pair, labels, 0.1), features @ fitted, rtol=1e-9, atol=1e-9)
    # without a ridge all labels are fitted
    itself = kernels(LastLayers(samples), LastLayers(samples), 0.0)
    torch.testing.assert_close(ridge_regression(*itself, labels, 1e-12), labels, atol=1e-6, rtol=1e-6)


def test_the_dense_layer_s_kernel_is_the_tangent_kernel_of_its_weights() -> None:
    """Where the last layer's weights are all of one size, up to the factor of their square."""
    learner = imitator()
    network = learner_network(learner)
    with torch.no_grad():
        signs = torch.where(torch.arange(5) % 2 == 0, 1.0, -1.0)
        network._fc.weight.copy_(0.5 * signs.expand(3, 5))
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    dense = dense_layer(learner, x)
    assert dense is not None
    rows = []
    for one in x:
        logit = network._fc(network._encoder(one[None]))[0, 1]  # of the normalised logits others take part
        gradients = torch.autograd.grad(logit, [dense.weight, dense.bias])
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    jacobian = torch.stack(rows)
    read = last_layers(learner, x, dense, torch.float32)
    assert read.gates is not None and 0 < float(read.gates.mean()) < 1
    within, across = kernels(last_layers(learner, x[:2], dense, torch.float32), read, 1.0)
    expected = jacobian @ jacobian.T
    torch.testing.assert_close(within, expected / expected.diagonal().mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(across, within[:2], rtol=1e-4, atol=1e-6)


def test_the_kernels_are_mixed_in_shares() -> None:
    learner = imitator()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    read = last_layers(learner, x, dense_layer(learner, x), torch.float64)
    ends = [kernels(read, read, share)[0] for share in (0.0, 1.0)]
    ends = [end / end.diagonal().mean() for end in ends]
    torch.testing.assert_close(kernels(read, read, 0.25)[0], 0.75 * ends[0] + 0.25 * ends[1])


def test_a_dense_layer_that_no_sample_passes_adds_nothing() -> None:
    learner = imitator()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    dense = dense_layer(learner, x)
    assert dense is not None
    with torch.no_grad():
        dense.bias.fill_(-1e3)
    read = last_layers(learner, x, dense, torch.float64)
    within, _ = kernels(read, read, 0.25)
    torch.testing.assert_close(within, 0.75 * torch.ones(6, 6, dtype=torch.float64))  # of the constant alone


def test_what_the_last_layers_read_is_differentiable() -> None:
    learner = imitator()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    read = last_layers(learner, x, dense_layer(learner, x.detach()), torch.float32)
    torch.testing.assert_close(read.features[:, :-1], learner_features(learner, x))
    assert read.inputs is not None
    for values in (read.features, read.inputs):
        assert torch.equal(values[:, -1].detach(), torch.ones(6))
        (gradient,) = torch.autograd.grad(values.sum(), x, retain_graph=True)
        assert float(gradient.abs().sum()) > 0


def test_a_network_without_such_a_layer_has_the_last_layer_s_kernel_alone() -> None:
    frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    paper = build_learner(DiscreteBCConfig(encoder_factory=PaperEncoderFactory()), (3, 64, 64), 15, seed=0)
    impala = build_learner(
        DiscreteBCConfig(encoder_factory=ImpalaEncoderFactory("impala-s2d")), (3, 64, 64), 15, seed=0
    )
    assert dense_layer(paper, frames) is None and dense_layer(impala, frames) is not None
    tanh = imitator("tanh")
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    assert dense_layer(tanh, x) is None
    read = last_layers(tanh, x, None, torch.float32)
    assert read.inputs is None
    torch.testing.assert_close(kernels(read, read, 0.7)[0], read.features @ read.features.T)


@pytest.mark.parametrize("size", [1, 3])
def test_continuous_imitators_have_them_too(size: int) -> None:
    learner = build_learner(BCConfig(), (4,), size, seed=0)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))
    dense = dense_layer(learner, x)
    assert dense is not None and dense.out_features == 256
    assert not dense._forward_hooks and not dense._forward_pre_hooks
    last_layers(learner, x, dense, torch.float64)
    assert not dense._forward_pre_hooks
