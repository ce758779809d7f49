"""Runs the command line in this process."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from rld_distill.group import cli

ONE_JOB = {"evaluate": {"jobs": 1}, "sweep": {"jobs": 1}}
"""Unless a test says otherwise: processes of their own take seconds to start."""


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args], default_map=ONE_JOB)


def fails(code: int, message: str, *args: object) -> str:
    """The command exits with ``code`` and one line that contains ``message``; returns it."""
    result = run(*args)
    assert result.exit_code == code, (result.output, result.exception)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("Error: ")
    assert result.stdout == ""
    return result.stderr


def fails_dry_too(code: int, message: str, *args: object) -> None:
    """The command fails, and its dry run before it, in the very same words."""
    assert fails(code, message, *args, "--dry-run") == fails(code, message, *args)


def planned(*args: object) -> dict[str, Any]:
    """What a dry run says as JSON; as text it begins with ``would``."""
    assert run(*args, "-n").stdout.startswith(f"would {args[0]} ")
    result = run(*args, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["would"] == args[0]
    return told
