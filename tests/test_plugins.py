"""Names: found lazily, the nearest told, added by files and by installed packages, and usable from the command line."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from commands import fails, run
from d3rlpy_distill import catalogue
from d3rlpy_distill.data import read_extras, read_info
from d3rlpy_distill.errors import PluginError, UnknownNameError
from d3rlpy_distill.registry import ENTRY_POINTS, Plugins, Registry, load_plugin, loaded_plugins

METHOD = '''
"""A method with an option of every kind."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

from d3rlpy_distill import Distilled, Method, OfflineDataset, option, register_method

if TYPE_CHECKING:
    from elsewhere import Unknown  # what type checkers alone see does no harm to the options


@register_method("shifted")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Shifted(Method):
    """Random transitions, brighter."""

    shift: int = option(1, "Grey levels.", minimum=0, maximum=200)
    scale: float | None = option(None, "Factor; 0 for none.", above=0, off=0)
    clip: bool = option(True, "Clip to 255.")
    order: Literal["drawn", "sorted"] = option("drawn", "Of the samples.")
    tag: str = option("", "Free text.")
    unseen: Unknown = dataclasses.field(default=None, metadata={"json": False})

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run=None) -> Distilled:
        data = dataset.transitions
        index = rng.choice(len(data), self.n_samples, replace=False)
        start = data.take(np.sort(index) if self.order == "sorted" else index)
        moved = (self.scale or 1) * start.observations.astype(float) + self.shift
        moved = np.clip(moved, 0, 255) if self.clip else moved % 256
        return Distilled(dataclasses.replace(start, observations=moved.astype(np.uint8)), sources=index)
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file to write a plug-in to; what it registers is gone after the test."""
    for registry in (catalogue.METHODS, catalogue.STUDENTS, catalogue.TASKS, catalogue.DATASETS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        monkeypatch.setattr(registry, "_aliases", dict(registry._aliases))
    known = set(sys.modules)
    yield tmp_path / f"{tmp_path.name}.py"
    for name in set(sys.modules) - known:  # else the next test finds it loaded, and its names gone
        if name.startswith("d3rlpy_distill_plugin_"):
            del sys.modules[name]


class NoPlugins(Plugins):
    def load(self) -> None:
        pass


def make_registry() -> Registry[type]:
    return Registry("animal", NoPlugins())


def test_a_name_is_resolved_when_it_is_asked_for() -> None:
    registry = make_registry()
    registry.add("path", "pathlib:Path", "A path.", alias="p")
    registry.add("missing", "no.such.module:Thing", "Not there.")
    registry.add("bare", "pathlib:Nothing", "Not there either.")
    assert registry.get("path") is Path and registry.get("p") is Path
    assert registry.names() == ["bare", "missing", "path"] and registry.aliases() == {"p": "path"}
    with pytest.raises(PluginError, match=r"'missing' stands for no\.such\.module:Thing, which cannot be loaded"):
        registry.get("missing")
    with pytest.raises(PluginError, match="'bare' stands for pathlib:Nothing"):
        registry.get("bare")


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    registry = make_registry()
    with pytest.raises(
        UnknownNameError, match=r"unknown animal 'dog'\. 'rld-distill list animals' lists them all"
    ):
        registry.get("dog")
    for name in ("horse", "house/mouse"):
        registry.add(name, "pathlib:Path", "", alias=name.rpartition("/")[2])
    for wrong, nearest in (
        ("hors", "horse"),
        ("Horse", "horse"),
        ("mous", "house/mouse"),
        ("zzz", "house/mouse|horse"),
    ):
        with pytest.raises(UnknownNameError, match=f"unknown animal {wrong!r}: did you mean '({nearest})'"):
            registry.get(wrong)


def test_a_taken_name_is_refused_and_the_same_thing_may_come_twice() -> None:
    registry = make_registry()

    @registry.register("thing", group="big")
    class Thing:
        """First line.

        More.
        """

    assert registry.entries() == registry.entries("big") and registry.entries("small") == []
    assert registry.entries()[0].line == "First line." and registry.get("thing") is Thing
    registry.add("thing", Thing, "Again.")
    with pytest.raises(PluginError, match="animal 'thing' is taken"):
        registry.add("thing", "pathlib:Path", "Another.")


def test_installed_packages_are_asked_once_and_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry[type]("animal", Plugins())
    module, asked = types.ModuleType("animals_of_the_tests"), []

    def register() -> None:
        registry.add("cat", "pathlib:Path", "From a package.")

    module.register = register  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Point(importlib.metadata.EntryPoint):
        def load(self) -> object:
            register()
            return module

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        asked.append(group)
        return [Point("animals", module.__name__, group)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry.add("dog", "pathlib:PurePath", "Built in.")
    assert registry.find("dog") is not None and asked == []  # a built-in name needs nobody
    assert registry.get("cat") is Path and asked == [ENTRY_POINTS]
    assert registry.names() == ["cat", "dog"] and asked == [ENTRY_POINTS]


def test_a_package_whose_plugin_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("broken", "no_such_module_of_the_tests", ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [point])
    registry = Registry[type]("animal", Plugins())
    with pytest.raises(PluginError, match=r"the plug-in 'broken' .* cannot be loaded: ModuleNotFoundError"):
        registry.names()


def test_procgen_is_a_plugin_of_its_own_package() -> None:
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    assert "procgen_datasets.plugin" in {point.value for point in points}
    assert "procgen_datasets" not in {entry.target.partition(".")[0] for entry in catalogue.METHODS.entries()
                                      if isinstance(entry.target, str)}  # fmt: skip


def test_a_file_is_loaded_once_and_what_is_wrong_with_it_is_said(plugin: Path) -> None:
    with pytest.raises(PluginError, match="does not exist: expected a Python file"):
        load_plugin(plugin)
    plugin.write_text("raise RuntimeError('no luck')")
    with pytest.raises(PluginError, match="fails: RuntimeError: no luck"):
        load_plugin(plugin)
    plugin.write_text(METHOD)  # the file may be repaired
    assert load_plugin(plugin) is load_plugin(plugin)
    assert catalogue.METHODS.get("shifted").__name__ == "Shifted"
    text = plugin.with_suffix(".txt")
    text.write_text("hello")
    with pytest.raises(PluginError, match=r"expected a file that ends in \.py"):
        load_plugin(text)


def test_two_files_of_one_name_are_two_plugins(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / plugin.name
    plugin.write_text("MINE = 1")
    other.write_text("MINE = 2")
    first, second = load_plugin(plugin), load_plugin(other)
    assert (first.MINE, second.MINE) == (1, 2) and sys.modules[first.__name__] is first  # what pickles refer to
    assert {plugin, other} <= set(loaded_plugins())


def test_a_method_of_a_file_has_its_own_options(plugin: Path, starpilot_file: Path, tmp_path: Path) -> None:
    plugin.write_text(METHOD)
    out = tmp_path / "x.h5"
    shifted = ["distill", starpilot_file, "--plugin", plugin, "--method", "shifted"]
    given = ["--samples", 6, "--shift", 3, "--scale", 0.5, "--no-clip", "--order", "sorted", "--tag", "a b"]
    result = run(*shifted, *given, "--out", out)
    assert result.exit_code == 0, result.output
    info = read_info(out)
    assert info.provenance is not None and info.provenance.settings["method"] == "shifted"
    assert info.provenance.settings["config"] == {
        "method": "Shifted", "n_samples": 6, "shift": 3, "scale": 0.5, "clip": False, "order": "sorted",
        "tag": "a b",
    }  # fmt: skip
    assert read_extras(out, "initial")["transition"].shape == (6,)
    defaults = run(*shifted, "--scale", 0, "--out", tmp_path / "y.h5")
    assert defaults.exit_code == 0, defaults.output
    provenance = read_info(tmp_path / "y.h5").provenance
    assert provenance is not None
    config = provenance.settings["config"]
    assert (config["n_samples"], config["shift"], config["scale"], config["clip"]) == (150, 1, None, True)
    fails(2, "201 is not in the range 0<=x<=200", *shifted, "--shift", 201)
    fails(2, "'up' is not one of 'drawn', 'sorted'", *shifted, "--order", "up")
    fails(2, "--shift is for --method shifted", *shifted[:4], "--shift", 3)
    fails(2, "--distance is for --method gradient", *shifted, "--distance", "l2")
    help_text = " ".join(run(*shifted, "--help").stdout.split())
    assert "Options of --method shifted" in help_text and "--clip/--no-clip" in help_text
    assert "Grey levels. [default: 1]" in help_text


def test_a_mistake_of_a_plugin_is_said_to_be_its_own(plugin: Path, starpilot_file: Path, tmp_path: Path) -> None:
    shifted = ["distill", starpilot_file, "--plugin", plugin, "--method", "shifted", "--samples", 9]
    plugin.write_text(METHOD.replace("dataset.transitions", "dataset.transition"))
    failed = run(*shifted, "--out", tmp_path / "a.h5")
    assert failed.exit_code == 1 and "has no attribute 'transition'" in failed.stderr
    assert f"--plugin {plugin}, line " in failed.stderr and "report it" not in failed.stderr
    sys.modules.pop(next(name for name in sys.modules if name.startswith(f"d3rlpy_distill_plugin_{plugin.stem}")))
    for registry in (catalogue.METHODS,):
        registry._entries.pop("shifted")
    plugin.write_text(METHOD.replace("self.n_samples, replace", "3, replace"))
    fails(1, "made 3 samples: expected n_samples=9", *shifted, "--out", tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


def test_a_config_file_may_name_the_plugin(plugin: Path, starpilot_file: Path, tmp_path: Path) -> None:
    plugin.write_text(METHOD)
    config = tmp_path / "c.toml"
    config.write_text(f'plugin = ["{plugin}"]\nmethod = "shifted"\nshift = 7\n')
    printed = run("distill", starpilot_file, "--config", config, "--print-config")
    assert printed.exit_code == 0, printed.output
    assert {f'plugin = ["{plugin}"]', 'method = "shifted"', "shift = 7"} <= set(printed.stdout.splitlines())


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("out: int = option(1, 'x')", "the field 'out' would be the option --out, which 'distill' has"),
        ("pair: tuple = option((1, 2), 'x')", "Shifted.pair is of type <class 'tuple'>"),
        ("odd: Unknown = option(1, 'x')", "Shifted.odd: name 'Unknown' is not defined"),
    ],
)
def test_a_field_that_cannot_be_an_option_is_named(
    plugin: Path, starpilot_file: Path, field: str, message: str
) -> None:
    plugin.write_text(METHOD.replace("    tag: str", f"    {field}\n    tag: str"))
    fails(1, message, "distill", starpilot_file, "--plugin", plugin, "--method", "shifted")


def test_what_a_file_adds_is_listed_and_used(plugin: Path, starpilot_file: Path, distilled_file: Path) -> None:
    plugin.write_text(
        '''
import dataclasses

import numpy as np

from d3rlpy_distill import Coreset, register_coreset, register_student, register_task
from d3rlpy_distill.students.mlp import MlpStudent
from procgen_datasets import ProcgenTask


@register_coreset("last")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Last(Coreset):
    """The last transitions."""

    def choose(self, data, rng):
        return np.arange(len(data))[-self.n_samples :]


@register_student("tiny")
@dataclasses.dataclass(frozen=True)
class Tiny(MlpStudent):
    """A small student."""


register_task("tests/pilot")(lambda name: ProcgenTask("starpilot"))
'''
    )
    for kind, line in (("coresets", "last  The last transitions."), ("students", "tiny  A small student.")):
        assert line in run("list", kind, "--plugin", plugin).stdout.splitlines()
    assert "tests/pilot" in run("list", "tasks", "--plugin", plugin).stdout
    few = ["--students", 1, "--episodes", 1, "--full-steps", 1, "--small-steps", 1, "--dry-run"]
    added = ["--student", "tiny", "--coresets", "last", "--task", "tests/pilot", "--arms", "last-20,distilled-20"]
    result = run("evaluate", starpilot_file, distilled_file, "--plugin", plugin, *few, *added)
    assert result.exit_code == 0 and "would train 2 arms" in result.stdout, result.output
    fails(2, "did you mean 'tiny'?", "evaluate", starpilot_file, distilled_file, "--student", "tinny")


def test_a_missing_or_broken_file_ends_the_command(plugin: Path, starpilot_file: Path) -> None:
    missing = ["--plugin", plugin.with_name("absent.py")]
    plugin.write_text("import no_such_module_of_the_tests")
    for command in (["list", "methods"], ["distill", starpilot_file], ["collect", "starpilot"],
                    ["evaluate", starpilot_file, starpilot_file], ["play", "starpilot", "random"],
                    ["train-expert", "starpilot"]):  # fmt: skip
        fails(1, "does not exist: expected a Python file", *command, *missing)
        fails(1, "fails: ModuleNotFoundError", *command, "--plugin", plugin)


def test_a_coreset_keeps_what_it_chooses(plugin: Path, starpilot_file: Path, tmp_path: Path) -> None:
    """The example that ships, run as its first line says."""
    example = Path(__file__).parent.parent / "examples" / "add_a_coreset.py"
    out = tmp_path / "promising.h5"
    result = run(
        "distill", starpilot_file, "--plugin", example, "--method", "promising", "--samples", 8, "--out", out
    )
    assert result.exit_code == 0, result.output
    togo = read_extras(starpilot_file, "steps")["return_to_go"]
    chosen = read_extras(out, "initial")["transition"]
    assert np.sort(togo)[-8:].tolist() == np.sort(togo[chosen]).tolist()
