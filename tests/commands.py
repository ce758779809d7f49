"""Runs the command line in this process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from rld_distill.group import cli

ONE_JOB = {"evaluate": {"jobs": 1}, "sweep": {"jobs": 1}}
"""Unless a test says otherwise: processes of their own take seconds to start."""


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args], default_map=ONE_JOB)


def fails(code: int, message: str, *args: object) -> None:
    """The command exits with ``code`` and one line that contains ``message``."""
    result = run(*args)
    assert result.exit_code == code, (result.output, result.exception)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("Error: ")
    assert result.stdout == ""
