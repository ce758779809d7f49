"""What the machine is, for provenance and for cost estimates."""

from __future__ import annotations

import platform
from pathlib import Path

from procgen_datasets.cores import available_cores

__all__ = ["describe_machine", "duration"]


def describe_machine() -> dict[str, str | int]:
    """Returns the processor's name, the cores this process may use and the operating system."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def duration(seconds: float) -> str:
    """Returns a duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
