"""The students that an evaluation keeps in its directory."""

from __future__ import annotations

from pathlib import Path


def kept_students(results: Path) -> dict[str, list[Path]]:
    """Returns the files of each arm's students, in their order, as far as they are trained."""
    return {
        arm.name: sorted(arm.glob("*.safetensors"), key=lambda file: int(file.stem))
        for arm in sorted((results / "students").iterdir())
    }
