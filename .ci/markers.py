"""Checks the environment markers of pyproject.toml: Procgen is installed just where it has wheels.

Wheels of ``procgen`` 0.10.7: Linux x86-64, Python 3.10. Wheels of ``procgen-mirror`` 0.10.7: the same, 3.11 and 3.12.
"""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLATFORMS = {
    "Linux x86-64": ("linux", "x86_64"),
    "Linux Arm": ("linux", "aarch64"),
    "macOS Intel": ("darwin", "x86_64"),
    "macOS Arm": ("darwin", "arm64"),
    "Windows": ("win32", "AMD64"),
}
WHEELS = {"3.10": "procgen", "3.11": "procgen-mirror", "3.12": "procgen-mirror"}


def main() -> int:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    requirements = [Requirement(line) for line in project["dependencies"]]
    wrong = []
    for version, wheel in WHEELS.items():
        for name, (system, machine) in PLATFORMS.items():
            environment = {"python_version": version, "sys_platform": system, "platform_machine": machine}
            found = [
                r.name
                for r in requirements
                if r.name.startswith("procgen") and (r.marker is None or r.marker.evaluate(environment))
            ]
            expected = [wheel] if name == "Linux x86-64" else []
            if found != expected:
                wrong.append(f"Python {version} on {name}: {found or 'no Procgen'}, expected {expected or 'none'}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
