"""What the campaigns found, each as a test of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from buffers import make_buffer
from d3rlpy_distill import OfflineDataset
from d3rlpy_distill.errors import CheckpointError, DamagedFileError, DistillError, UnsuitableDatasetError
from d3rlpy_distill.files import load_tensors, read_document, save_tensors, write_document
from d3rlpy_distill.learners.bounded import no_larger_than
from d3rlpy_distill.learners.learner import build_learner
from d3rlpy_distill.students.kept import load_student, save_student
from d3rlpy_distill.students.mlp import MlpStudent


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
