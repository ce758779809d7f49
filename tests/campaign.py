"""Tries to lose something, or to make the package believe something wrong, and counts what came of it.

``python tests/campaign.py --seed 0 --minutes 20`` runs every campaign and prints a table of each; it exits with 1 if
anything failed, with what it takes to see it again. With ``--keep FOLDER`` the same command goes on where it was
stopped. See docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import gym_notices.notices
import structlog

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from campaigns.children import preload  # noqa: E402
from campaigns.corpus import make_corpus  # noqa: E402
from campaigns.damage import damage_campaign  # noqa: E402
from campaigns.hostile import hostile_campaign  # noqa: E402
from campaigns.kills import kill_campaign  # noqa: E402
from campaigns.limits import limit_campaign  # noqa: E402
from campaigns.tally import Clock, Tally  # noqa: E402
from d3rlpy_distill.cores import available_cores  # noqa: E402

RUN = {"damage": damage_campaign, "hostile": hostile_campaign, "kills": kill_campaign, "limits": limit_campaign}
FULL = {"damage": 1000, "hostile": 300, "kills": 200, "limits": 50}
SHORT = {"damage": 60, "hostile": 60, "kills": 12, "limits": 12}


def main() -> None:
    """Parses the command line and runs what it names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", nargs="*", choices=[*RUN, []], help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20.0, help="no further file is begun after them")
    parser.add_argument("--count", type=int, help="of each campaign")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes at a time")
    parser.add_argument("--short", action="store_true", help="what the tests run: seconds, and no Procgen")
    parser.add_argument(
        "--keep",
        type=Path,
        help="folder for the files and the counts; the same command goes on from there, what failed included",
    )
    given = parser.parse_args()
    preload()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (given.keep or Path(scratch)).resolve()
        os.environ["XDG_CACHE_HOME"] = str(folder / "caches")  # the user's own are left alone
        clock, failed = Clock.of(given.minutes, given.workers), False
        start = time.monotonic()
        units = make_corpus(folder / "corpus", procgen=not given.short)
        print(f"made {len(units)} kinds of files in {time.monotonic() - start:.0f} s", file=sys.stderr)
        for name in given.campaigns or RUN:
            start = time.monotonic()
            count = given.count or (SHORT if given.short else FULL)[name]
            tally = Tally(name, folder / "journal.jsonl", given.seed)
            RUN[name](units, count, tally, clock, folder / name)
            print(f"\n{tally.table()}\n", flush=True)
            print(
                f"{name}: {tally.total} of {count} in {time.monotonic() - start:.0f} s; the slowest took "
                f"{tally.slowest:.1f} s, the largest {tally.peak >> 20} MiB.",
                flush=True,
            )
            failed = failed or bool(tally.failures) or tally.total < count
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
