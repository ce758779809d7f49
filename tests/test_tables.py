"""Tables in a terminal: what fits is shown whole, what does not is named."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pytest
from rich.console import Console

from commands import run
from d3rlpy_distill.report import Table, build_tables, render
from entries import constant
from rld_distill.tables import print_table, show_tables

PAPER = {"random-policy": 1.0, "expert": 30.0, "bc-100": 10.0, "bc-100-converged": 12.0, "random-20": 8.0,
         "distilled-20": 9.51}  # fmt: skip
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def shown(table: Table, width: int, *, wide: bool = False) -> list[str]:
    """The lines that a terminal of this width shows, without colours."""
    out = io.StringIO()
    print_table(table, Console(file=out, width=width, force_terminal=True, highlight=False), wide=wide)
    return [ESCAPES.sub("", line) for line in out.getvalue().splitlines()]


def split(line: str) -> list[str]:
    """The cells of a line: two spaces or more stand between them."""
    return re.split(r" {2,}", line.strip())


@pytest.fixture
def table() -> Table:
    return build_tables(constant(PAPER, "procgen/starpilot", modes=("sampled", "greedy")))[0]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_a_table_fits_and_no_cell_is_broken(table: Table, width: int) -> None:
    lines = shown(table, width)
    assert max(map(len, lines)) <= width
    body = {split(line)[0]: split(line) for line in lines}
    for row in table.rows:
        assert all(cell in row for cell in body[row[0]]) and len(body[row[0]]) >= 2


def test_columns_are_left_out_in_the_order_that_the_table_names(table: Table) -> None:
    assert table.least == (
        "of converged BC", "normalised", "greedy return", "IQM [95%]", "as good as bc-100", "gain over random-20 [95%]",
    )  # fmt: skip
    before = 0
    for width in (200, 120, 110, 100, 80, 60, 40):
        text = " ".join(shown(table, width))
        found = re.search(r"(\d) columns? hidden: (.*?); --wide shows all", text)
        hidden = found[2].split("; ") if found else []
        assert (int(found[1]) if found else 0) == len(hidden) >= before
        assert set(hidden) == set(table.least[: len(hidden)])
        before = len(hidden)
    assert before == len(table.least)


def test_wide_shows_every_column_whatever_the_width(table: Table) -> None:
    lines = shown(table, 40, wide=True)
    assert not any("hidden" in line for line in lines)
    body = {split(line)[0]: split(line) for line in lines}
    assert body["distilled-20"] == list(table.rows[-1])


def test_a_table_that_names_no_order_gives_up_its_last_columns() -> None:
    table = Table("plain", ("a", "b", "c", "d"), [("aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd")])
    assert "2 columns hidden: c; d; --wide shows all" in " ".join(shown(table, 24))
    assert any("aaaaaaaa  bbbbbbbb" in line for line in shown(table, 5))  # two are always there


def test_names_are_shown_as_they_are_and_move_no_cursor() -> None:
    table = Table("t[red]x[/red]", ("arm", "[bold]"), [("[/x]", "1"), ("\x1b[2J\x07bell\nline", "2")])
    out = io.StringIO()
    print_table(table, Console(file=out, width=80, force_terminal=True))
    said = ESCAPES.sub("", out.getvalue())
    assert "t[red]x[/red]" in said and "[bold]" in said and "[/x]" in said
    assert "\x1b" not in said and "\x07" not in said and "\ufffd[2J\ufffdbell\ufffdline" in said


def test_piped_tables_are_markdown(table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    show_tables([table])
    assert capsys.readouterr().out == f"{render([table])}\n"


def in_terminal(width: int, *arguments: object) -> str:
    """What the command prints on a terminal of this width."""
    script = "from rld_distill.main import entry_point; entry_point()"
    # given whole: libraries set COLUMNS behind Python's back
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment["TERM"] = "xterm-256color"
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        os.execve(sys.executable, [sys.executable, "-c", script, *map(str, arguments)], environment)
    said = b""
    while True:
        try:
            block = os.read(terminal, 1 << 16)
        except OSError:  # what a terminal says at its end
            break
        if not block:
            break
        said += block
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    return ESCAPES.sub("", said.decode()).replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform != "linux", reason="pseudo-terminals")
def test_the_command_fits_a_real_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    constant(PAPER, "procgen/starpilot", modes=("sampled", "greedy")).save(path)
    narrow, wide = in_terminal(80, "report", path), in_terminal(120, "report", path)
    every = in_terminal(80, "report", path, "--wide")
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines())) <= 120
    assert "columns hidden" in narrow and "hidden" not in every and "| --- |" not in narrow
    assert every.count("gain over") == 2 and "79%" in every and "79%" not in narrow
    markdown = in_terminal(80, "report", path, "--format", "md")
    assert markdown == run("report", path).stdout
