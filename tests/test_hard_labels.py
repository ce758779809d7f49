"""Labels as integer actions: their proportions, who gives them, and that stock d3rlpy clones them."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from d3rlpy.algos import DiscreteBCConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from buffers import vectors
from commands import run
from d3rlpy_distill import Distilled, OfflineDataset
from d3rlpy_distill.data.allocation import deal_labels
from d3rlpy_distill.errors import OutputExistsError, SettingsError
from d3rlpy_distill.methods.hard_labels import HardLabelsConfig
from d3rlpy_distill.pipeline import configure, distill, distill_to_file

TEACHERS = {"teacher_steps": 3, "n_teachers": 2}
A = 3


def labels_of(count: int, actions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(actions, 0.4), count).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 9), actions=st.integers(2, 6), more=st.integers(0, 40), seed=st.integers(0, 2**16))
def test_each_observation_has_its_actions_in_the_proportions_of_its_label(
    count: int, actions: int, more: int, seed: int
) -> None:
    labels, n_samples = labels_of(count, actions, seed), count + more
    rows, dealt = deal_labels(labels, n_samples, np.random.default_rng(seed))
    counts = np.zeros((count, actions))
    np.add.at(counts, (rows, dealt), 1)
    per_row = counts.sum(1)
    assert counts.sum() == n_samples and per_row.max() - per_row.min() <= 1
    assert np.abs(counts - per_row[:, None] * labels).max() < 1 + 1e-5


def test_dealing_is_unbiased_and_what_one_has_too_much_of_another_has_too_little() -> None:
    labels, alike = labels_of(40, 5, 1), np.repeat(labels_of(1, 5, 2), 40, axis=0)
    every = np.zeros((40, 5))
    for seed in range(400):
        rows, dealt = deal_labels(labels, 40 * 2, np.random.default_rng(seed))
        np.add.at(every, (rows, dealt), 1)
        total = np.bincount(deal_labels(alike, 40 * 2, np.random.default_rng(seed))[1], minlength=5)
        assert np.abs(total - 80 * alike[0]).max() < 1 + 1e-4  # as if all were dealt at once
    np.testing.assert_allclose(every / (2 * 400), labels, atol=0.06)


def dataset() -> OfflineDataset:
    return OfflineDataset(vectors(False), name="vectors.h5", task="gym/Some-v1")


def test_the_loss_on_the_actions_is_that_on_their_proportions() -> None:
    made = distill(dataset(), "hard-labels", n_samples=12, n_observations=4, **TEACHERS)
    samples = made.samples
    observations, order = np.unique(samples.observations, axis=0, return_inverse=True)
    assert len(observations) == 4 and np.bincount(order.ravel()).tolist() == [3, 3, 3, 3]
    proportions = np.zeros((4, A))
    np.add.at(proportions, (order.ravel(), samples.actions), 1 / 3)
    logits = torch.randn(4, A, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hard = F.cross_entropy(logits[order.ravel()], torch.from_numpy(samples.actions))
    soft = F.cross_entropy(logits, torch.from_numpy(proportions))
    torch.testing.assert_close(hard, soft)


def test_labels_are_those_of_teachers_on_random_observations() -> None:
    data = dataset()
    taught = distill(data, "labels", n_samples=12, seed=3, **TEACHERS)
    method = configure(data, "hard-labels", n_samples=30, n_observations=1, seed=3, **TEACHERS)[0]
    assert isinstance(method, HardLabelsConfig) and taught.teachers is not None
    method = dataclasses.replace(method, given=taught.teachers)
    first, second = (method.distill(data, np.random.default_rng(seed)) for seed in (0, 1))
    assert not first.soft and first.teachers is None and first.initial is None
    assert first.sources is not None and second.sources is not None
    assert set(first.sources) != set(second.sources)
    real = data.transitions
    np.testing.assert_array_equal(first.samples.observations, real.observations[first.sources])
    np.testing.assert_array_equal(first.samples.rewards, real.returns_to_go[first.sources])
    label = taught.teachers.label(first.samples.observations[:1])[0]
    np.testing.assert_allclose(np.bincount(first.samples.actions, minlength=A) / 30, label, atol=1 / 30)


def test_stock_d3rlpy_clones_a_file_of_them(tmp_path: Path) -> None:
    distill_to_file(dataset(), tmp_path / "hard.h5", "hard-labels", n_samples=12, n_observations=4, **TEACHERS)
    with (tmp_path / "hard.h5").open("rb") as file:
        buffer = d3rlpy.dataset.ReplayBuffer.load(file, d3rlpy.dataset.InfiniteBuffer())
    assert buffer.dataset_info.action_size == A and buffer.transition_count == 12
    student = DiscreteBCConfig(batch_size=4).create()
    student.fit(
        buffer,
        n_steps=2,
        n_steps_per_epoch=2,
        show_progress=False,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )
    assert Distilled.load(tmp_path / "hard.h5").sources is not None


def test_teachers_of_a_file_label_whatever_the_seed(tmp_path: Path) -> None:
    data = dataset()
    distill_to_file(data, tmp_path / "soft.h5", "labels", n_samples=12, seed=3, **TEACHERS)
    one, other = (
        distill(data, "hard-labels", n_samples=12, n_observations=4, seed=seed, teachers=tmp_path / "soft.h5")
        for seed in (0, 1)
    )
    assert one.sha256 != other.sha256
    assert one.provenance is not None and one.provenance.settings["teachers_sha256"]
    alone = distill(data, "hard-labels", n_samples=12, n_observations=4, seed=3, **TEACHERS)
    assert alone.sha256 not in (one.sha256, other.sha256)


def test_the_samples_of_another_set_are_dealt(tmp_path: Path) -> None:
    data = dataset()
    moved = {**TEACHERS, "moves": 2, "students": 2, "real_batch_size": 8}
    distill_to_file(data, tmp_path / "soft.h5", "kernel", n_samples=4, **moved)
    soft = Distilled.load(tmp_path / "soft.h5")
    hard = distill(data, "hard-labels", n_samples=12, begin="given", teachers=tmp_path / "soft.h5")
    assert len(hard) == 12 and not hard.soft
    assert soft.sources is not None and soft.initial is not None and soft.samples.probabilities is not None
    assert hard.sources is not None and hard.initial is not None
    order = np.arange(12) % 4
    for own, given_to_it in (
        (hard.samples.observations, soft.samples.observations),
        (hard.initial.observations, soft.initial.observations),
        (hard.samples.rewards, soft.samples.rewards),
        (hard.sources, soft.sources),
    ):
        np.testing.assert_array_equal(own, given_to_it[order])
    np.testing.assert_array_equal(hard.initial.actions, hard.samples.actions)  # what moving gained is the rest
    counts = np.zeros((4, A))
    np.add.at(counts, (order, hard.samples.actions), 1)
    assert np.abs(counts - 3 * soft.samples.probabilities).max() < 1 + 1e-5
    assert hard.provenance is not None and hard.provenance.settings["config"]["n_observations"] == 4
    hard.save(tmp_path / "hard.h5")
    assert Distilled.load(tmp_path / "hard.h5").sha256 == hard.sha256
    with pytest.raises(
        SettingsError, match="n_samples=3, and the given set has 4 samples: expected at least as many"
    ):
        distill(data, "hard-labels", n_samples=3, begin="given", teachers=tmp_path / "soft.h5")
    configured = configure(data, "hard-labels", **TEACHERS)[0]
    bare = dataclasses.replace(soft, samples=dataclasses.replace(soft.samples, probabilities=None))
    own = {"n_samples": 12, "n_observations": 4, "begin": "given"}
    alone = dataclasses.replace(configured, **own, given_samples=soft)  # type: ignore[arg-type]
    assert alone.total_steps == 0 and configured.total_steps == 6  # without teachers, too
    assert alone.distill(data, np.random.default_rng(0)).sha256 == hard.sha256
    with pytest.raises(SettingsError, match="the given set has no soft labels"):
        dataclasses.replace(configured, **own, given_samples=bare)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="n_observations=3, and the given set has 4 samples, each of which is"):
        distill(data, "hard-labels", n_samples=12, n_observations=3, begin="given", teachers=tmp_path / "soft.h5")
    with pytest.raises(SettingsError, match="begin='given' without given samples"):
        dataclasses.replace(configured, begin="given")  # type: ignore[call-arg]


def test_a_given_set_that_changed_is_noticed(tmp_path: Path) -> None:
    """Its observations and teachers may be the same, and its labels others."""
    data, teachers = dataset(), tmp_path / "labels.h5"
    distill_to_file(data, teachers, "labels", n_samples=4, **TEACHERS)
    for moves in (1, 30):
        path = tmp_path / f"{moves}.h5"
        learnt: dict[str, Any] = {"moves": moves, "window": 2, "label_learning_rate": 0.5}
        distill_to_file(data, path, "unrolled-labels", n_samples=4, teachers=teachers, **learnt)
    soft, hard = tmp_path / "soft.h5", tmp_path / "hard.h5"
    dealt: dict[str, Any] = {"n_samples": 12, "begin": "given", "teachers": soft}
    shutil.copy(tmp_path / "1.h5", soft)
    distill_to_file(data, hard, "hard-labels", **dealt)
    before = hard.read_bytes()
    distill_to_file(data, hard, "hard-labels", **dealt)
    assert hard.read_bytes() == before
    shutil.copy(tmp_path / "30.h5", soft)
    assert Distilled.load(soft).recorded_sha256 == Distilled.load(tmp_path / "1.h5").recorded_sha256
    with pytest.raises(OutputExistsError, match="holds something else"):
        distill_to_file(data, hard, "hard-labels", **dealt)


def test_settings_that_do_not_fit_are_named() -> None:
    with pytest.raises(SettingsError, match="n_observations=0: expected 1 or more"):
        HardLabelsConfig(learner=DiscreteBCConfig(), n_observations=0)
    with pytest.raises(SettingsError, match=re.escape("steps=0 without given teachers: nobody labels")):
        distill(dataset(), "hard-labels", n_samples=4, steps=0)
    made = distill(dataset(), "hard-labels", n_samples=4, n_observations=30, **TEACHERS)
    assert made.sources is not None and len(set(made.sources.tolist())) == 4  # never more than samples


def test_every_size_of_a_sweep_has_teachers_of_its_own(cartpole: Path, tmp_path: Path) -> None:
    """Its files keep none that another size could be given."""
    quick = ("--students", 1, "--episodes", 1, "--full-steps", 1, "--small-steps", 1, "--steps", 2)
    done = run("sweep", cartpole, "--methods", "hard-labels", "--sizes", "4,6", "--out", tmp_path, *quick)
    assert done.exit_code == 0, done.stderr
    sizes = [len(Distilled.load(path)) for path in sorted(tmp_path.rglob("*.h5"))]
    assert sorted(sizes) == [4, 6]
