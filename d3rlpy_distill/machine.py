"""What the machine is, for provenance."""

from __future__ import annotations

import platform
from pathlib import Path

from .cores import available_cores

__all__ = ["describe_machine"]


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
