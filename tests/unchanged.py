"""Makes anew what version 0.1.0 left behind before the rebuild, for ``test_unchanged.py`` to compare.

python tests/unchanged.py PART OUT     makes one part, a method of Maker, and writes it as JSON
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "unchanged"
STUDENT = DATA / "bc-10.safetensors"
DISTILLED = ("gradient", "unrolled", "labels", "paper", "random", "cql")
SETTINGS: dict[str, dict[str, Any]] = {
    "gradient": {"n_samples": 20, "steps": 4},
    "unrolled": {"method": "unrolled", "n_samples": 20, "steps": 4, "window": 3, "horizon": 6},
    "labels": {"method": "labels", "n_samples": 20, "teacher_steps": 4},
    "paper": {"preset": "paper", "n_samples": 30, "steps": 2},
    "random": {
        "n_samples": 20,
        "percent": 30,
        "steps": 3,
        "seed": 5,
        "theta": "random",
        "distance": "cosine",
        "grouping": "action",
        "allocation": "even",
        "sharpness": None,
        "shared_observations": None,
    },
    "cql": {"student": "cql", "n_samples": 20, "steps": 3, "rewards": "learned"},
}
"""The recorded commands, as arguments of ``distill``."""
SOFT_ARMS = ("expert", "random-policy", "teachers-of-soft-20", "random-soft-20", "soft-20", "other-20", "bc-10")


def hashes(path: Path) -> dict[str, str]:
    """Reads a distilled file without the package: the hash of its samples, and of what else it holds."""
    import h5py

    with h5py.File(path) as file:
        found = {"content": str(file.attrs["content_sha256"])}
        for key in ("steps/action_probabilities", "initial/transition", "initial/observations"):
            if key in file:
                found[key] = hashlib.sha256(file[key][()].tobytes()).hexdigest()
        if "teachers" in file:
            weights = [file["teachers"][key][()].tobytes() for key in sorted(file["teachers"])]
            found["teachers"] = hashlib.sha256(b"".join(weights)).hexdigest()
    return found


def table(results: Any) -> list[dict[str, Any]]:
    """Returns the results of an evaluation as they were recorded."""
    fields = ("name", "split", "mode", "samples", "bytes", "mean", "std", "iqm", "ci95", "normalised", "returns")
    return json.loads(  # type: ignore[no-any-return]
        json.dumps(
            [{name: getattr(arm, name) for name in fields} for arm in results.arms], default=lambda a: a.tolist()
        )
    )


def quick_protocol() -> Any:
    from d3rlpy_distill import Budget, ConvergenceConfig, Protocol

    return Protocol(2, 2, full=Budget(4, 16), small=Budget(20, 15), convergence=ConvergenceConfig(steps=4))


class Maker:
    """Makes parts anew in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: dict[str, Any] = {"datasets": {}, "distilled": {}, "tables": {}}

    @functools.cached_property
    def starpilot(self) -> Any:
        return self.collect("starpilot", episodes=6, seed=3)

    def collect(self, game: str, **settings: int) -> Any:
        from d3rlpy_distill import OfflineDataset
        from procgen_datasets import CollectConfig, collect

        path = self.directory / f"{game}.h5"
        collect(CollectConfig(game, expert=f"{game}@1", **settings), path)  # type: ignore[arg-type]
        dataset = OfflineDataset.load(path)
        self.made["datasets"][game] = dataset.sha256
        return dataset

    @functools.cached_property
    def starpilot_expert(self) -> Any:
        from d3rlpy_distill.pipeline import load

        dataset = load("starpilot-expert@1", data_directory=self.directory)  # its name in 0.1 had no number
        self.made["datasets"]["starpilot-expert"] = dataset.sha256
        return dataset

    @functools.cache  # noqa: B019  (a process makes one)
    def distilled(self, name: str) -> Any:
        from d3rlpy_distill import Distilled, distill

        return self.kept(name, distill(self.starpilot, **SETTINGS[name]), Distilled)

    def kept(self, name: str, distilled: Any, kind: Any) -> Any:
        path = self.directory / f"{name}.h5"
        distilled.save(path)
        self.made["distilled"][name] = hashes(path)
        return kind.load(path)

    def quick(self) -> None:
        """What takes seconds: four ways to distil, and arms of every kind in one table."""
        from d3rlpy_distill import evaluate

        for name in ("gradient", "labels", "paper", "cql"):
            self.distilled(name)
        arms = [
            *("random-policy", "teachers-of-soft-20"),
            *("bc-10", "bc-100-converged", "prior-20", "random-20", "balanced-20", "init-20", "distilled-20"),
            *("random-soft-20", "soft-20"),
        ]
        both = self.distilled("gradient"), self.distilled("labels")
        results = table(evaluate(self.starpilot, *both, protocol=quick_protocol(), arms=arms))
        soft = [arm for arm in results if "soft" in arm["name"]]
        self.made["tables"] = {"standard": [arm for arm in results if arm not in soft], "soft": soft}
        self.made["student"] = self.kept_student()

    def kept_student(self) -> dict[str, Any]:
        """Returns of the first student of bc-10 as 0.1.0 kept it, by split and mode."""
        from d3rlpy_distill import make_task

        task = make_task("starpilot")
        policy = task.load_policy(str(STUDENT)).policy
        return {
            f"{split} {mode}": task.play([policy], split=split, mode=mode, episodes=2, seed=0).tolist()[0]
            for split in task.default_splits
            for mode in task.modes
        }

    def tables(self) -> None:
        """Every distillation and every table of the quick recording, whole."""
        from d3rlpy_distill import evaluate

        self.collect("bigfish", episodes=3)
        for name in DISTILLED:
            self.distilled(name)
        run = functools.partial(evaluate, self.starpilot, protocol=quick_protocol())
        also = {"other-20": self.distilled("unrolled")}
        students = ["bc", "cql", "bcq", "dqn", "sac", "dt"]
        self.made["tables"] = {
            "standard": table(run(self.distilled("gradient"))),
            "soft": table(run(self.distilled("labels"), also=also, arms=SOFT_ARMS)),
            "algos": table(run(self.distilled("cql"), student=students)),
        }

    def sweep(self) -> None:
        """Two methods at two sizes; the teachers of the first size label the second."""
        from d3rlpy_distill import Budget, Protocol
        from d3rlpy_distill.sweeping import SweepConfig, sweep

        protocol = Protocol(1, 2, small=Budget(3, 5))
        out = self.directory / "sweep"
        path = self.directory / "starpilot.h5"
        assert self.starpilot.name == path.name
        results = sweep(
            [path], ("gradient", "labels"), (10, 20), 1, out, config=SweepConfig(steps=3, protocol=protocol)
        )
        assert not results.failed and len(results.cells) == 4
        for cell in results.cells:
            name = f"{cell.method}-{cell.samples}"
            self.made["distilled"][name] = hashes(out / f"starpilot-{name}-0.h5")
            self.made["tables"][f"sweep {name}"] = table(cell.results)

    def full(self, name: str, distilled: str, arms: str, **settings: Any) -> None:
        """Arms of the published settings, on the dataset and the distilled sets that ship with the package."""
        from d3rlpy_distill import Protocol, evaluate
        from d3rlpy_distill.pipeline import load_distilled

        one = load_distilled(distilled, data_directory=self.directory)
        protocol = Protocol(2, 10, **settings)
        results = evaluate(self.starpilot_expert, one, protocol=protocol, arms=arms.split(","))
        self.made["tables"][name] = table(results)

    def full_a(self) -> None:
        self.full("full-a", "starpilot-distilled-150", "random-policy,expert,bc-10,bc-25,bc-40,bc-100")

    def full_b(self) -> None:
        arms = "prior-150,random-150,balanced-150,init-150,distilled-150"
        self.full("full-b", "starpilot-distilled-150", arms)

    def full_c(self) -> None:
        self.full("full-c", "starpilot-distilled-150", "bc-100-converged")

    def full_soft(self) -> None:
        from d3rlpy_distill import Budget

        arms = "random-soft-150,soft-150,teachers-of-soft-150"
        self.full("full-soft", "starpilot-soft-150", arms, small=Budget(200, 64))

    def bundled(self, name: str, method: str) -> None:
        """A distilled set that ships with the package, from its recipe: the default preset, seed 0."""
        from d3rlpy_distill import Distilled, distill

        self.kept(name, distill(self.starpilot_expert, method), Distilled)

    def bundled_soft(self) -> None:
        self.bundled("starpilot-soft-150", "labels")

    def bundled_distilled(self) -> None:
        self.bundled("starpilot-distilled-150", "gradient")


def main(part: str, out: str) -> None:
    import gym_notices.notices
    import structlog
    import torch

    gym_notices.notices.notices.clear()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        maker = Maker(Path(directory))
        getattr(maker, part)()
    Path(out).write_text(json.dumps(maker.made))


if __name__ == "__main__":
    main(*sys.argv[1:])
