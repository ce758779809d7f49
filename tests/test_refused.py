"""What the campaigns found, each as a test of its own."""

from __future__ import annotations

import hashlib
import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from buffers import make_buffer
from campaigns.children import refusal
from campaigns.hostile import SECRET, as_dataset, as_distilled, as_episodes
from campaigns.hostile_hdf5 import attacks, packed, write_hostile
from d3rlpy_distill import Distilled, OfflineDataset
from d3rlpy_distill.data import Provenance, TransitionArrays
from d3rlpy_distill.errors import (
    CheckpointError,
    DamagedFileError,
    DatasetFormatError,
    DistillError,
    SettingsError,
    UnknownNameError,
    UnsuitableDatasetError,
)
from d3rlpy_distill.evaluation.arms import _sharpness
from d3rlpy_distill.evaluation.results import Results
from d3rlpy_distill.evaluation.returns import load_returns
from d3rlpy_distill.files import (
    SEAL_BYTES,
    load_state,
    load_tensors,
    read_document,
    save_state,
    save_tensors,
    write_document,
    write_seal,
)
from d3rlpy_distill.learners.bounded import no_larger_than
from d3rlpy_distill.learners.learner import build_learner
from d3rlpy_distill.students.kept import load_student, save_student
from d3rlpy_distill.students.mlp import MlpStudent
from entries import constant
from procgen_datasets.task import ProcgenTask
from rld_distill.failures import explain


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A student of vectors."""
    student = MlpStudent()
    config = student.learner(OfflineDataset(make_buffer([5, 4], shape=(4,))), None)
    learner = build_learner(config, (4,), 4, seed=0, device="cpu:0")
    save_student(tmp_path / "s.safetensors", "mlp", student, learner, 0.0, {"train_seconds": 0.0, "steps": 1.0})
    return tmp_path / "s.safetensors"


def edited(path: Path, **changes: object) -> Path:
    """The student with another learner in it, and a right digest."""
    weights, said = load_tensors(path)
    about = json.loads(said["student"])
    about["learner"] = json.dumps({**json.loads(about["learner"]), **changes})
    other = path.with_name("other.safetensors")
    save_tensors(other, weights, {"student": json.dumps(about)}, overwrite=True)
    return other


def test_an_error_is_one_line_that_prints() -> None:
    assert str(DistillError("a\n\tb \x1b[2J\u202e c é")) == r"a b \x1b[2J\u202e c é"


def test_a_student_that_names_a_larger_network_takes_no_memory(kept: Path) -> None:
    assert load_student(kept).shape == (4,)
    for shape in ([2**24], [2**40]):  # 17 GB, 1 PB
        with pytest.raises(CheckpointError, match="larger than its weights"):
            load_student(edited(kept, observation_shape=shape))


def test_no_larger_than_counts_all_that_is_made() -> None:
    with no_larger_than([torch.zeros(100)]):
        torch.zeros(2, 1000)
    with pytest.raises(ValueError, match="larger than its weights"), no_larger_than([torch.zeros(100)]):
        for _ in range(100):
            torch.empty(100_000)


def test_a_student_that_cannot_act_is_refused(kept: Path) -> None:
    weights, said = load_tensors(kept)
    first = sorted(weights)[0]
    save_tensors(kept, {**weights, first: weights[first] * torch.nan}, said, overwrite=True)
    with pytest.raises(CheckpointError, match="it is no mlp student"):
        load_student(kept)


def test_a_document_whose_digest_lost_its_name_is_no_unsealed_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_document(path, {"a": 1})
    path.write_text(path.read_text().replace("document_sha256", "document_sha257"))
    with pytest.raises(DamagedFileError):
        read_document(path, unsealed=True)
    path.write_text('{"a": 1, "b": "x"}')
    assert read_document(path, unsealed=True) == {"a": 1, "b": "x"}


def test_a_number_of_hundreds_of_digits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1' + "0" * 400 + "}")
    with pytest.raises(DamagedFileError, match="a number of 401 digits"):
        read_document(path, unsealed=True)


def test_wrong_probabilities_name_their_dataset() -> None:
    data = OfflineDataset(make_buffer([5]), behaviour=np.full((5, 4), 0.5), name="mine.h5")
    with pytest.raises(UnsuitableDatasetError, match=r"mine\.h5: action probabilities of row 0 sum to 2"):
        _ = data.policy


@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_no_sealed_file_of_anybody_is_believed_or_breaks_anything(tmp_path: Path, share: int) -> None:
    """Every way that the campaign knows, or one of four, but for those whose files take long to make."""
    elsewhere = tmp_path / "secret"
    elsewhere.write_bytes(SECRET)
    tried = 0
    for number, (name, attack, must) in enumerate(attacks(elsewhere)):
        if "GB" in name or "1073741824" in name or "20,000" in name or number % share:
            continue
        path = tmp_path / f"{number}.h5"
        write_hostile(path, attack, sealed=True)
        tried += 1
        for view in (as_distilled, as_dataset, as_episodes):
            try:
                view(path)
                assert not must or view is not as_distilled, name
            except DistillError as error:
                assert refusal(str(error), path) is None, (name, str(error))
        path.unlink()
    assert tried > 400 // share


def test_a_chunk_that_inflates_beyond_its_size_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = tmp_path / "h.h5"
    write_hostile(path, packed("observations_0", (1, 4), "f4", (1, 4), 300 << 20), sealed=True)
    tracemalloc.start()
    with pytest.raises(DatasetFormatError, match="has a chunk of more than the 16 bytes that it declares"):
        Distilled.load(path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_a_large_chunk_that_inflates_to_its_size_is_read(tmp_path: Path) -> None:
    """Chunks as others make them: a megabyte and hardly smaller for being packed."""
    path, rng = tmp_path / "d.h5", np.random.default_rng(0)
    buffer = make_buffer([2000], shape=(300,))
    with path.open("w+b") as file:
        buffer.dump(file)
    frames = rng.normal(size=(2000, 300)).astype(np.float32)
    with h5py.File(path, "r+") as file:
        del file["observations_0"]
        file.create_dataset("observations_0", data=frames, chunks=(1000, 300), compression="gzip", shuffle=True)
    read = OfflineDataset.load(path).buffer.episodes[0].observations
    assert np.array_equal(read, frames)


@pytest.mark.parametrize(
    ("key", "value"),
    [("policy", []), ("expert", 3), ("config", []), ("source", {}), ("source_sha256", 1), ("expert_sha256", [])],
)
def test_a_provenance_of_other_types_is_refused(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "d.h5"
    OfflineDataset(make_buffer([5]), provenance=Provenance("collected", None, 4, "", {key: value})).save(path)
    with pytest.raises(DatasetFormatError, match=rf"{path}.*its setting '{key}' is .*: expected"):
        OfflineDataset.load(path)


def test_a_sharpness_that_is_none_is_refused() -> None:
    data = make_buffer([5, 5])
    settings = {"config": {"sharpness": "x"}}
    one = Distilled(TransitionArrays.from_buffer(data), provenance=Provenance("distilled", None, 4, "", settings))
    with pytest.raises(DistillError, match="sharpness 'x': expected a number above 0"):
        _sharpness({"soft-5": one})


def test_levels_that_are_none_are_refused() -> None:
    task = ProcgenTask("starpilot")
    for levels in ([], "x", {"start": 0}, {"start": 0, "num": "x"}, {"start": 0, "num": 1, "x": 2}):
        with pytest.raises(UnsuitableDatasetError, match="expected a start and a num"):
            task.for_dataset({"levels": levels})
    with pytest.raises(SettingsError, match="expected 0 to 2147483647 each"):
        task.for_dataset({"levels": {"start": 0, "num": 10**30}})
    with pytest.raises(UnsuitableDatasetError, match="expected easy or hard"):
        task.for_dataset({"distribution_mode": []})
    assert task.for_dataset({"levels": None, "distribution_mode": None}).identity(("id",)) == task.identity(
        ("id",)
    )


@pytest.mark.parametrize(
    "state",
    [
        {"x": torch.zeros(1).expand(1 << 40)},
        {"x": [{"y": (torch.zeros(1, 1).expand(1 << 20, 1 << 20),)}]},
        {"x": torch.eye(3).to_sparse()},
    ],
)
def test_a_checkpoint_holds_no_tensor_larger_than_itself(tmp_path: Path, state: dict[str, object]) -> None:
    save_state(tmp_path / "good.pt", {"x": torch.zeros(3)})
    assert torch.equal(load_state(tmp_path / "good.pt")["x"], torch.zeros(3))
    save_state(tmp_path / "c.pt", state)
    with pytest.raises(DamagedFileError):
        load_state(tmp_path / "c.pt")


def test_a_packed_checkpoint_is_not_inflated(tmp_path: Path) -> None:
    save_state(tmp_path / "good.pt", {"x": torch.zeros(3)})
    packed = io.BytesIO()
    stored = io.BytesIO((tmp_path / "good.pt").read_bytes()[SEAL_BYTES:])
    with zipfile.ZipFile(stored) as good, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in good.infolist():
            archive.writestr(entry.filename, good.read(entry))
    (tmp_path / "c.pt").write_bytes(bytes(SEAL_BYTES) + packed.getvalue())
    write_seal(tmp_path / "c.pt")
    with pytest.raises(DamagedFileError):
        load_state(tmp_path / "c.pt")


def test_returns_take_no_more_memory_than_their_results_declare(tmp_path: Path) -> None:
    def fails(why: str, **entries: bytes) -> None:
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries.items():
                archive.writestr(f"{name}.npy", data)
        path = tmp_path / "r.npz"
        path.write_bytes(raw.getvalue())
        with pytest.raises(DistillError, match=why):
            load_returns(path, hashlib.sha256(raw.getvalue()).hexdigest(), [(2, 3)])

    def npy(array: np.ndarray, shape: str = "") -> bytes:
        out = io.BytesIO()
        np.save(out, array)
        return (
            out.getvalue().replace(b"(6,), }        ", f"{shape}, }}".ljust(15).encode())
            if shape
            else out.getvalue()
        )

    good = np.arange(6.0)
    fails("16777344 bytes: expected 6 numbers", returns=npy(np.zeros(1 << 21)))
    fails("buffer is smaller", returns=npy(good, "(99999999999,)"))
    fails("complex128", returns=npy(good.astype(complex)))
    fails("some are NaN or infinite", returns=npy(good + np.inf))
    fails("no item named", other=npy(good))
    with pytest.raises(DistillError, match="expected at most"):
        load_returns(
            tmp_path / "r.npz", hashlib.sha256((tmp_path / "r.npz").read_bytes()).hexdigest(), [(1 << 30, 9)]
        )


@pytest.mark.parametrize("budgets", [[], "x", {"mlp": 3}, {"mlp": {"full": {}}},
                                     {"mlp": {"full": {"n_steps": True, "batch_size": 1}}}])  # fmt: skip
def test_results_of_no_budgets_are_refused(tmp_path: Path, budgets: object) -> None:
    results = constant({"expert": 3.0, "random-20": 1.0})
    results.save(tmp_path / "results.json")
    value = {**read_document(tmp_path / "results.json")}
    value["protocol"] = {**value["protocol"], "budgets": budgets}
    write_document(tmp_path / "results.json", value, overwrite=True)
    with pytest.raises(DistillError, match="does not follow the schema"):
        Results.load(tmp_path / "results.json")


def test_a_long_message_loses_its_middle() -> None:
    told = str(DistillError("/x/y.h5 says " + "9" * 5000 + ": expected 3"))
    assert len(told) < 1600 and told.startswith("/x/y.h5 says 99") and told.endswith("99: expected 3")


def test_a_student_of_no_name_or_shape_names_its_file(kept: Path) -> None:
    weights, said = load_tensors(kept)
    about = json.loads(said["student"])
    save_tensors(kept, weights, {"student": json.dumps({**about, "name": "x"})}, overwrite=True)
    with pytest.raises(UnknownNameError, match=f"{kept}: unknown student 'x'"):
        load_student(kept)
    save_tensors(kept, weights, said, overwrite=True)
    with pytest.raises(CheckpointError, match="observations of shape"):
        load_student(edited(kept, observation_shape="4"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_too_little_memory_is_no_damage(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise error

    save_state(tmp_path / "c.pt", {"x": torch.zeros(3)})
    OfflineDataset(make_buffer([5])).save(tmp_path / "d.h5")
    monkeypatch.setattr(MlpStudent, "restore", fails)
    monkeypatch.setattr(torch, "load", fails)
    monkeypatch.setattr("d3rlpy_distill.data.hdf5.reader.check_episode", fails)
    for load, path in (
        (load_student, kept),
        (load_state, tmp_path / "c.pt"),
        (OfflineDataset.load, tmp_path / "d.h5"),
    ):
        with pytest.raises(MemoryError):
            load(path)
    assert explain(error).startswith("out of memory: ")


def test_a_heap_without_an_end_is_not_walked(tmp_path: Path) -> None:
    """The library would look for the text for ever."""
    path = tmp_path / "d.h5"
    OfflineDataset(make_buffer([5])).save(path)
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    at, size = heap + 16, int.from_bytes(data[heap + 8 : heap + 16], "little")
    while data[at : at + 2] != b"\0\0":
        at += 16 + (int.from_bytes(data[at + 8 : at + 16], "little") + 7) // 8 * 8
    assert at < heap + size
    data[at + 8 : at + 16] = bytes(8)
    path.write_bytes(data)
    write_seal(path)
    with pytest.raises(DatasetFormatError, match="a heap of texts in it has no end"):
        OfflineDataset.load(path)
