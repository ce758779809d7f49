"""The one way to write files, to keep others away from them, and to know that they are as they were written."""

from .claim import claim_of, claimed
from .documents import read_document, read_json, write_document, write_json
from .seal import SEAL_BYTES, bytes_sha256, check_seal, write_seal
from .states import load_state, save_state
from .tensors import load_tensors, read_metadata, save_tensors
from .writing import LOCK, appears_atomically, check_directory, check_empty, check_output

__all__ = [
    "LOCK",
    "SEAL_BYTES",
    "appears_atomically",
    "bytes_sha256",
    "check_directory",
    "check_empty",
    "check_output",
    "check_seal",
    "claim_of",
    "claimed",
    "load_state",
    "load_tensors",
    "read_document",
    "read_json",
    "read_metadata",
    "save_state",
    "save_tensors",
    "write_document",
    "write_json",
    "write_seal",
]
