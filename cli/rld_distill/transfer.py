"""What the dry run of an import, an export or a pull prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .duration import duration
from .options import echo_nothing_to_do, echo_result

if TYPE_CHECKING:
    from d3rlpy_distill.exchange import Transfer

__all__ = ["echo_transfer"]


def echo_transfer(as_json: bool, command: str, transfer: Transfer) -> None:
    """Prints what would be read and written, and how large it is: a JSON object or a line."""
    if transfer.done:
        echo_nothing_to_do(as_json, command, transfer.path)
        return
    value = {
        "would": command,
        "source": transfer.source,
        "source_bytes": transfer.source_bytes,
        "path": str(transfer.path),
        "bytes": transfer.n_bytes,
        "beside": None if transfer.beside is None else str(transfer.beside),
        "seconds": transfer.seconds,
    }
    about = [
        *([] if transfer.n_bytes is None else [f"about {_megabytes(transfer.n_bytes)}"]),
        *([] if transfer.seconds is None else [f"about {duration(transfer.seconds)}"]),
    ]
    text = (
        f"would {command} {transfer.source} "
        + ("" if transfer.source_bytes is None else f"({_megabytes(transfer.source_bytes)}) ")
        + f"into {transfer.path}"
        + (f": {', '.join(about)}" if about else ", after it is downloaded")
        + ("" if transfer.beside is None else f"; its card into {transfer.beside}")
    )
    echo_result(as_json, value, f"{text}.")


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"
