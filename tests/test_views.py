"""Views of few images: how they are made, kept and labelled, and that students learn from them."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buffers import make_buffer, vectors
from d3rlpy_distill import Budget, Distilled, OfflineDataset, Run, TransitionArrays, memory
from d3rlpy_distill.data import load_dataset
from d3rlpy_distill.data.mapped import MappedRows
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.data.views import Views, draw_views
from d3rlpy_distill.errors import (
    DatasetFormatError,
    OutputExistsError,
    SettingsError,
    TooLargeError,
    UnsuitableDatasetError,
)
from d3rlpy_distill.estimates import distillation_seconds
from d3rlpy_distill.evaluation import Protocol, standard_arms
from d3rlpy_distill.files import write_seal
from d3rlpy_distill.learners.learner import learner_network
from d3rlpy_distill.learners.training import train_learner
from d3rlpy_distill.pipeline import configure, distill, distill_to_file
from d3rlpy_distill.report.gallery import gallery_figure
from d3rlpy_distill.students.bc import StockCloningStudent
from d3rlpy_distill.students.paper import PaperStudent
from d3rlpy_distill.sweeping import SweepConfig
from d3rlpy_distill.sweeping.plan import plan_cells

TEACHERS: dict[str, Any] = {"teacher_steps": 30, "n_teachers": 2}
QUICK: dict[str, Any] = {"teacher_steps": 2, "n_teachers": 1}
SHAPE = (3, 16, 12)


def drawn(n_images: int, shape: tuple[int, ...], n_views: int, seed: int = 0, **options: int) -> Views:
    rng = np.random.default_rng(seed)
    views = draw_views(n_images, shape, n_views, **{"patches": 3, "shift": 2, **options}, rng=rng)
    return dataclasses.replace(views, labels=rng.dirichlet(np.ones(4), n_views).astype(np.float16))


def dataset() -> OfflineDataset:
    """Frames whose brightness says the action."""
    buffer = make_buffer([20, 20, 20], shape=(3, 16, 16), action_size=4)
    for episode in buffer.episodes:
        frames = np.asarray(episode.observations)
        episode.observations[:] = frames // 4 + 63 * episode.actions[:, :, None, None].astype(np.uint8)  # type: ignore[index]
    return OfflineDataset(buffer, name="images.h5", task="gym/Some-v1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "views.h5"
    distill_to_file(dataset(), path, "views", n_samples=6, n_views=40, **QUICK)
    return path


def pasted(images: np.ndarray, sources: np.ndarray, geometry: np.ndarray) -> np.ndarray:
    """One view, patch after patch, as the words of :class:`Views` say it."""
    height, width = images.shape[2:]
    view = np.zeros_like(images[0])
    for source, (up, aside, top, left, bottom, right) in zip(sources, geometry.astype(int), strict=True):
        for y in range(top, bottom):
            for x in range(left, right):
                row, column = min(max(y + up, 0), height - 1), min(max(x + aside, 0), width - 1)
                view[:, y, x] = images[source, :, row, column]
    return view


@settings(max_examples=40, deadline=None)
@given(
    n_images=st.integers(1, 5),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    patches=st.integers(0, 4),
    shift=st.integers(0, 20),
    seed=st.integers(0, 2**16),
)
def test_views_are_the_patches_pasted_one_after_the_other(
    n_images: int, height: int, width: int, patches: int, shift: int, seed: int
) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n_images, 3, height, width)).astype(np.uint8)
    views = drawn(n_images, images.shape[1:], 5, seed, patches=patches, shift=shift)
    assert views.problem(n_images, images.shape[1:]) is None
    made = views.of(images)
    assert made.dtype == images.dtype and made.shape == (5, *images.shape[1:])
    for k in range(5):
        np.testing.assert_array_equal(made[k], pasted(images, views.sources[k], views.geometry[k]))


def test_views_without_patches_and_shifts_are_the_images_and_more_than_a_piece_of_them_come_in_order() -> None:
    images = np.random.default_rng(0).random((7, *SHAPE)).astype(np.float32)
    views = drawn(7, SHAPE, 6000, patches=0, shift=0)  # a piece has 2**20 pixels
    np.testing.assert_array_equal(views.of(images), images[views.sources[:, 0]])


def test_patches_are_there_four_times_of_five_and_sources_and_shifts_are_uniform() -> None:
    views = drawn(4, SHAPE, 8000, shift=3)
    there = (views.geometry[:, 1:, 4] > views.geometry[:, 1:, 2]).mean()
    assert abs(there - 0.8) < 0.02
    np.testing.assert_allclose(np.bincount(views.sources.ravel()) / views.sources.size, 0.25, atol=0.02)
    np.testing.assert_allclose(np.bincount(views.geometry[..., 0].ravel() + 3) / 32_000, 1 / 7, atol=0.02)


def test_large_images_have_geometry_of_two_bytes_and_what_no_number_reaches_is_refused() -> None:
    assert drawn(2, (3, 127, 127), 3).geometry.dtype == np.int8
    large = drawn(2, (3, 200, 128), 50)
    assert large.geometry.dtype == np.int16 and large.problem(2, (3, 200, 128)) is None
    with pytest.raises(UnsuitableDatasetError, match="views of 40000 samples: expected at most 32767"):
        drawn(40_000, SHAPE, 3)
    steps: list[int] = []
    with pytest.raises(UnsuitableDatasetError, match="views of 40000 pixels of shift: expected at most 32767"):
        distill(
            dataset(),
            "views",
            n_samples=3,
            shift=40_000,
            on_step=lambda step, n, loss: steps.append(step),
            **QUICK,
        )
    assert not steps  # said before teachers are trained
    with pytest.raises(UnsuitableDatasetError, match=re.escape("(4,): expected images")):
        drawn(2, (4,), 3)


def test_the_method_labels_views_of_real_images_by_its_teachers() -> None:
    data = dataset()
    made = distill(data, "views", n_samples=6, n_views=40, shift=2, seed=3, **TEACHERS)
    views, samples = made.views, made.samples
    assert views is not None and made.teachers is not None and made.sources is not None
    np.testing.assert_array_equal(samples.observations, data.transitions.observations[made.sources])
    assert len(np.unique(made.sources)) == 6
    assert samples.probabilities is not None
    np.testing.assert_allclose(samples.probabilities, made.teachers.label(samples.observations), atol=1e-6)
    labels = made.teachers.label(views.of(samples.observations))
    np.testing.assert_allclose(views.labels, labels, atol=1e-3)
    assert np.abs(labels - labels.mean(0)).max() > 1e-3  # views differ in their labels, so this tells them apart
    assert np.abs(views.geometry[..., :2]).max() == 2
    again = distill(data, "views", n_samples=6, n_views=40, shift=2, seed=3, **TEACHERS)
    assert again.sha256 == made.sha256
    assert distill(data, "views", n_samples=6, n_views=40, shift=2, seed=4, **TEACHERS).sha256 != made.sha256


def test_without_views_it_labels_random_images() -> None:
    made = distill(dataset(), "views", n_samples=6, n_views=0, seed=3, **QUICK)
    assert made.views is None and made.soft and len(made) == 6


def test_vectors_and_nobody_who_labels_are_refused() -> None:
    with pytest.raises(UnsuitableDatasetError, match="expected images; give --method labels"):
        distill(OfflineDataset(vectors(False), name="vectors.h5"), "views", student="mlp", n_samples=4, **QUICK)
    with pytest.raises(SettingsError, match="nobody labels"):
        distill(dataset(), "views", n_samples=4, steps=0)


def test_a_file_keeps_views_and_other_programs_see_the_samples(tmp_path: Path) -> None:
    path = tmp_path / "views.h5"
    made = distill(dataset(), "views", n_samples=6, n_views=40, **QUICK)
    made.save(path)
    read = Distilled.load(path)
    assert read.views is not None and made.views is not None
    for field in dataclasses.fields(Views):
        np.testing.assert_array_equal(getattr(read.views, field.name), getattr(made.views, field.name))
        assert getattr(read.views, field.name).dtype == getattr(made.views, field.name).dtype
    assert read.sha256 == made.sha256
    buffer, _ = load_dataset(path)
    assert buffer.transition_count == 6
    other = dataclasses.replace(read.views, labels=read.views.labels[::-1])
    assert dataclasses.replace(read, views=other).sha256 != read.sha256
    soft = read.to_buffer(soft=True)
    assert soft.transition_count == 46 and soft.dataset_info.action_size == 4
    assert read.to_buffer().transition_count == 6


def wider(geometry: np.ndarray, layer: int, *, by: int = 20) -> np.ndarray:
    """The boxes of one layer moved at their right end."""
    changed = geometry.copy()
    changed[:, layer, 5] += by
    return changed


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("sources", lambda v: v + np.int16(6), "expected 0 to 5"),
        ("sources", lambda v: v - np.int16(6), "expected 0 to 5"),
        ("sources", lambda v: v[:, :1], "expected (V, L)"),
        ("sources", lambda v: v.astype(np.int64), "expected int16, int8 or int16, and float16"),
        ("geometry", lambda v: v.view(np.uint8), "expected int16, int8 or int16, and float16"),
        ("geometry", lambda v: wider(v, 1), "outside of 16 x 16 pixels"),
        ("geometry", lambda v: wider(v, 0, by=-1), "that none covers"),
        ("labels", lambda v: np.float16(1), "expected (V, L)"),
        ("labels", lambda v: v * np.float16(np.nan), "not finite"),
        ("labels", lambda v: v[:-1], "expected (V, L)"),
        ("labels", lambda v: v[:, :-1], "expected (40, 4)"),
        ("labels", lambda v: v * np.float16(2), "expected 1"),
        ("labels", None, "without views/labels"),
    ],
)
def test_damaged_views_are_refused(whole: Path, tmp_path: Path, name: str, change: Any, told: str) -> None:
    broken = shutil.copy(whole, tmp_path / "broken.h5")
    with h5py.File(broken, "r+") as file:
        values = file[f"views/{name}"][()]
        del file[f"views/{name}"]
        if change is not None:
            file[f"views/{name}"] = change(values)
    write_seal(broken)
    with pytest.raises(DatasetFormatError, match=re.escape(told)):
        Distilled.load(broken)


def test_students_are_trained_on_samples_and_views() -> None:
    data = dataset()
    made = distill(data, "views", n_samples=6, n_views=40, **QUICK)
    given = made.training_set()
    assert made.views is not None
    examples = given.examples
    assert len(given) == 6 and len(examples) == 46
    assert given.n_bytes == made.samples.observations.nbytes + 8 * 6 + made.views.nbytes
    np.testing.assert_array_equal(examples.observations[6:], made.views.of(made.samples.observations))
    assert examples.probabilities is not None
    np.testing.assert_allclose(examples.probabilities[6:], made.views.labels, atol=1e-3)
    np.testing.assert_allclose(examples.probabilities.sum(1), 1, atol=1e-6)
    plain = TrainingSet(made.samples).examples
    assert plain is made.samples
    student = PaperStudent()
    config = student.learner(data, Budget(4, 8))
    weights = [
        learner_network(one).state_dict()
        for one in (
            student.fit(config, given, 4, seed=1),
            train_learner(config, examples, 4, seed=1),
            student.fit(config, TrainingSet(made.samples), 4, seed=1),
        )
    ]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    assert any((weights[0][name] != weights[2][name]).any() for name in weights[0])
    stock = StockCloningStudent()
    config = stock.learner(data, Budget(2, 8))
    own, same, plain = (
        stock.fit(config, one, 2, seed=1) for one in (given, TrainingSet(examples), TrainingSet(made.samples))
    )
    weights = [learner_network(one).state_dict() for one in (own, same, plain)]
    assert own.config.get_type() == "soft_bc"
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    assert any((weights[0][name] != weights[2][name]).any() for name in weights[0])


def test_arms_count_the_images_and_stand_beside_as_many_random_ones() -> None:
    data = dataset()
    made = distill(data, "views", n_samples=6, n_views=40, **QUICK)
    arms = {one.name: one for one in standard_arms("paper", PaperStudent(), data, {"soft-6": made}, Protocol())}
    rng = np.random.default_rng(0)
    own, random, hard = (arms[name].draw(data, rng) for name in ("soft-6", "random-soft-6", "actions-of-soft-6"))
    assert arms["soft-6"].about.size == arms["random-soft-6"].about.size == len(own) == len(random) == 6
    assert len(own.examples) == 46 and len(random.examples) == len(hard.examples) == 6
    assert hard.examples.probabilities is None and random.examples.probabilities is not None


def test_a_gallery_shows_a_view_under_each_frame() -> None:
    made = distill(dataset(), "views", n_samples=6, n_views=200, **QUICK)
    assert made.views is not None
    titles = [axis.get_title() for axis in gallery_figure(made).axes]
    assert len(titles) == 12 and titles[:6] == [f"action {a}" for a in made.samples.actions]
    first = int(np.flatnonzero(made.views.sources[:, 0] == 0)[0])
    label = made.views.labels[first]
    assert titles[6] == f"view: {label.argmax()}, {label.max():.0%}"
    shown = gallery_figure(made).axes[6].images[0].get_array()
    np.testing.assert_array_equal(
        shown, made.views.only(np.array([first])).of(made.samples.observations)[0].transpose(1, 2, 0)
    )


def test_an_interrupted_labelling_goes_on_without_teaching_again(tmp_path: Path) -> None:
    settings = {"n_samples": 6, "n_views": 3000, **QUICK}
    whole = distill(dataset(), "views", **settings)
    method = configure(dataset(), "views", **settings)[0]
    assert method.total_steps == 2 + 3 and [phase.steps for phase in method.phases()] == [2, 3]
    checkpoint, seen = tmp_path / "c", list[int]()

    def stop(step: int, total: int, loss: float) -> None:
        seen.append(step)
        if len(seen) == 4:
            raise KeyboardInterrupt

    run = Run(checkpoint=checkpoint, checkpoint_interval=1, on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        method.distill(dataset(), np.random.default_rng(0), run)
    assert checkpoint.exists()
    again = method.distill(dataset(), np.random.default_rng(0), run)
    assert seen == [1, 2, 3, 4, 4, 5] and not checkpoint.exists()
    assert again.sha256 == whole.sha256


def test_teachers_tell_two_files_apart_though_their_samples_are_alike(tmp_path: Path) -> None:
    files = [tmp_path / "0.h5", tmp_path / "1.h5"]
    for seed, path in enumerate(files):
        taught = tmp_path / f"taught-{seed}.h5"
        distill_to_file(dataset(), taught, "labels", n_samples=6, seed=seed, **QUICK)
        distill_to_file(dataset(), path, "views", n_samples=6, n_views=9, teachers=taught)
    first, second = map(Distilled.load, files)
    assert first.recorded_sha256 == second.recorded_sha256 and first.sha256 != second.sha256
    out = tmp_path / "k.h5"
    distill_to_file(dataset(), out, "views", n_samples=5, n_views=9, teachers=files[0])
    with pytest.raises(OutputExistsError):
        distill_to_file(dataset(), out, "views", n_samples=5, n_views=9, teachers=files[1])


@pytest.mark.parametrize("method", ["kernel", "unrolled-labels", "hard-labels"])
def test_methods_that_would_lose_views_do_not_begin_with_them(whole: Path, method: str) -> None:
    with pytest.raises(SettingsError, match="40 views, which would be lost"):
        distill(dataset(), method, teachers=whole, begin="given")


def test_views_of_frames_that_stay_in_a_file(whole: Path, tmp_path: Path) -> None:
    held = Distilled.load(whole)
    buffer, _ = load_dataset(Path(shutil.copy(whole, tmp_path / "mapped.h5")), mapped=True)
    mapped = TransitionArrays.from_buffer(buffer)
    assert isinstance(mapped.observations, MappedRows)
    given = TrainingSet(dataclasses.replace(mapped, probabilities=held.samples.probabilities), views=held.views)
    np.testing.assert_array_equal(given.examples.observations, held.training_set().examples.observations)


def test_more_views_than_the_memory_holds_are_refused(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Distilled.load(whole).training_set()
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    with pytest.raises(TooLargeError, match="40 views of"):
        _ = given.examples


def test_views_need_labels_of_the_samples(whole: Path) -> None:
    held = Distilled.load(whole)
    with pytest.raises(UnsuitableDatasetError, match="without soft labels"):
        dataclasses.replace(held, samples=dataclasses.replace(held.samples, probabilities=None))


def test_cells_that_others_teach_are_timed(tmp_path: Path) -> None:
    data = dataset()
    (tmp_path / "images.h5").touch()
    config = SweepConfig(student="paper")
    first, second = plan_cells([tmp_path / "images.h5"], ["views"], [5, 6], [0], tmp_path / "out", config=config)
    assert first.taught_by is None and second.taught_by is first
    method = dataclasses.replace(second.configure(data), teacher_steps=5, n_teachers=1, n_views=2000)
    taught = distillation_seconds(method, data, taught=True)
    assert 0 < taught < distillation_seconds(method, data)
