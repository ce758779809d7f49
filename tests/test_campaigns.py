"""The campaigns of ``make campaign`` in short, and that they can fail."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from campaigns.children import Ended, Try, refusal, run_all
from campaigns.damage import DAMAGES
from campaigns.tally import Tally
from d3rlpy_distill.errors import DamagedFileError

CAMPAIGN = Path(__file__).with_name("campaign.py")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, /proc and limits are Linux's")
@pytest.mark.parametrize(
    ("campaigns", "count"),
    [(("damage", "hostile"), 10), pytest.param(("kills", "limits"), 12, marks=pytest.mark.slow)],
)
def test_no_campaign_finds_anything(campaigns: tuple[str, ...], count: int) -> None:
    """One process, which forks a child for every file."""
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    options = ["--short", "--seed", "0", "--minutes", "15", "--count", str(count)]
    result = subprocess.run(
        [sys.executable, str(CAMPAIGN), *options, *campaigns],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **paths},
    )
    assert result.returncode == 0, result.stderr[-4000:]
    for name in campaigns:
        tried = re.search(rf"\n{name}: (\d+) of {count} in ", result.stdout)
        # one command may be killed several times on its way, the last one beyond the count
        assert tried is not None and int(tried[1]) >= count, result.stdout


def _works() -> int:
    return 7


def _raises() -> None:
    raise KeyError("no error of ours")


def _refuses() -> None:
    raise DamagedFileError("/x/y is damaged")


def _turns() -> None:
    while True:
        pass


def _dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _takes() -> int:
    return len(bytearray(b"x") * (200 << 20))


def _ended(*attempts: Try) -> dict[str, Ended]:
    return {attempt.name: ended for attempt, ended in run_all(attempts, 2)}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks are Linux's")
def test_a_child_is_told_apart_by_how_it_ends() -> None:
    ended = _ended(
        Try("value", _works),
        Try("traceback", _raises),
        Try("refused", _refuses),
        Try("hang", _turns, seconds=0.5),
        Try("killed", _turns, kill=0.3),
        Try("crash", _dies),
    )
    assert {name: one.kind for name, one in ended.items()} == {name: name for name in ended}
    assert ended["value"].value == 7 and "KeyError" in ended["traceback"].text
    peaks = _ended(Try("little", _works), Try("much", _takes))
    assert peaks["much"].peak > peaks["little"].peak + (150 << 20)


def test_a_refusal_is_one_line_that_names_the_file() -> None:
    file = Path("/x/y.h5")
    assert refusal("/x/y.h5 is damaged.", file) is None and refusal("y.h5: no rows.", file) is None
    for text in ("", "it is damaged", "/x/y is\ndamaged", "/x/y says \x1b[2J"):
        assert refusal(text, file)


def test_damage_changes_bytes_and_is_seeded() -> None:
    data = bytes(range(256)) * 40
    for damage in DAMAGES:
        changed = [damage(data, np.random.default_rng(5)) for _ in range(2)]
        assert changed[0] == changed[1]
    assert sum(damage(data, np.random.default_rng(1)) != data for damage in DAMAGES) > len(DAMAGES) // 2


def test_a_tally_counts_failures() -> None:
    tally = Tally("damage")
    assert not tally.add("dataset", "refused", "") and not tally.add("dataset", "unharmed", "")
    assert tally.add("student", "different", "0/7 flip")
    assert tally.failures == ["damage, student: different: 0/7 flip"] and tally.total == 3
    assert tally.table().splitlines()[-1] == "| together | 3 | 1 | 1 | 1 different |"


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    first = Tally("kills", journal, 0)
    first.add("sweep", "same", "", Ended("value", seconds=2.0, peak=5), key="0", count=3)
    first.add("sweep", "lost", "by a mistake", key="1")
    Tally("kills", journal, 1).add("sweep", "same", "of another seed", key="2")
    Tally("damage", journal, 0).add("sweep", "refused", "of another campaign", key="3")
    with journal.open("a") as file:
        file.write('{"campaign": "ki')  # killed
    again = Tally("kills", journal, 0)
    assert (again.total, again.done, again.failures) == (3, {"0"}, [])
    assert (again.slowest, again.peak) == (2.0, 5)
