"""Names for methods, students, tasks and datasets: resolved when they are asked for, extended by plug-ins.

A built-in name stands for a ``"module:Object"`` that is imported at first use. A plug-in is a Python module that
registers names when it is imported: a file given with ``--plugin``, or an entry point of an installed package in
the group ``d3rlpy_distill.plugins``.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar, cast

from .errors import PluginError, UnknownNameError

__all__ = [
    "ENTRY_POINTS",
    "PLUGIN_PREFIX",
    "Entry",
    "Plugins",
    "Registry",
    "load_plugin",
    "load_plugin_text",
    "loaded_plugins",
]

ENTRY_POINTS = "d3rlpy_distill.plugins"
PLUGIN_PREFIX = "d3rlpy_distill_plugin_"
"""Begins the module name of a plug-in that is a file; no other process can import it by that name."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Entry(Generic[T]):
    """A name and what it stands for.

    Args:
        name: As a user types it.
        target: The object, or ``"module:Object"``.
        line: What it is, in one line.
        group: What it is listed under, where a registry has several lists.
    """

    name: str
    target: T | str
    line: str
    group: str = ""

    def load(self) -> T:
        """Returns the object, imported if need be.

        Raises:
            PluginError: If there is no such object.
        """
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            return cast(T, getattr(importlib.import_module(module), attribute))
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.name!r} stands for {self.target}, which cannot be loaded: {error}"
            ) from error


class Plugins:
    """The entry points of installed packages, each imported once, when something is looked up first."""

    def __init__(self) -> None:
        self._loaded = False

    def load(self) -> None:
        """Imports them.

        Raises:
            PluginError: If one of them fails.
        """
        if self._loaded:
            return
        self._loaded = True  # before: a plug-in may look something up itself
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
            try:
                point.load()
            except Exception as error:  # a plug-in is anybody's code
                raise PluginError(
                    f"the plug-in {point.name!r} ({point.value}) cannot be loaded: {error!r}; "
                    f"repair or uninstall the package that brings it."
                ) from error


class Registry(Generic[T]):
    """Names of one kind.

    Args:
        kind: What the names stand for, for messages: ``"method"``.
        plugins: What may add names.
    """

    def __init__(self, kind: str, plugins: Plugins) -> None:
        self.kind = kind
        self._plugins = plugins
        self._entries: dict[str, Entry[T]] = {}
        self._aliases: dict[str, str] = {}

    def add(self, name: str, target: T | str, line: str, *, group: str = "", alias: str | None = None) -> None:
        """Registers a name; the same target may be registered again, as a module that is imported twice does.

        Args:
            name: As a user types it.
            target: The object, or ``"module:Object"``, imported at first use.
            line: What it is, in one line.
            group: What it is listed under.
            alias: Another name that finds it and is not listed.

        Raises:
            PluginError: If the name stands for something else.
        """
        known = self._entries.get(name)
        if known is not None and _identity(known.target) != _identity(target):
            raise PluginError(f"{self.kind} {name!r} is taken by {known.target!r}: give another name.")
        self._entries[name] = Entry(name, target, line, group)
        if alias is not None:
            self._aliases[alias] = name

    def register(self, name: str, *, group: str = "") -> Callable[[T], T]:
        """Returns a decorator that registers a class under a name, with the first line of its docstring."""

        def decorate(target: T) -> T:
            lines = (getattr(target, "__doc__", None) or "").strip().splitlines()
            self.add(name, target, lines[0] if lines else "", group=group)
            return target

        return decorate

    def entries(self, group: str | None = None) -> list[Entry[T]]:
        """Returns what is registered, of one group or of all, in alphabetical order within a group."""
        self._plugins.load()
        found = [entry for entry in self._entries.values() if group is None or entry.group == group]
        return sorted(found, key=lambda entry: (entry.group, entry.name))

    def names(self, group: str | None = None) -> list[str]:
        """Returns the names of :meth:`entries`."""
        return [entry.name for entry in self.entries(group)]

    def find(self, name: str) -> Entry[T] | None:
        """Returns the entry of a name or of an alias, or None."""
        if name not in self._entries:
            self._plugins.load()
        return self._entries.get(self._aliases.get(name, name))

    def get(self, name: str) -> T:
        """Returns what a name stands for.

        Raises:
            UnknownNameError: If there is no such name; the message names the nearest.
            PluginError: If it cannot be loaded.
        """
        return self.entry(name).load()

    def entry(self, name: str) -> Entry[T]:
        """Returns the entry of a name or of an alias.

        Raises:
            UnknownNameError: If there is no such name; the message names the nearest.
        """
        entry = self.find(name)
        if entry is None:
            raise self.unknown(name)
        return entry

    def unknown(self, name: str) -> UnknownNameError:
        """Returns the error for a name that is not registered."""
        names = self.names()
        nearest = difflib.get_close_matches(name.lower(), [*names, *self._aliases], n=1, cutoff=0.0)
        asked = f": did you mean {self._aliases.get(nearest[0], nearest[0])!r}?" if nearest else "."
        return UnknownNameError(
            f"unknown {self.kind} {name!r}{asked} 'rld-distill list {self.kind}s' lists them all."
        )

    def aliases(self) -> Mapping[str, str]:
        """Returns the other names, each with the name that it stands for."""
        self._plugins.load()
        return dict(self._aliases)


def load_plugin(path: Path) -> ModuleType:
    """Runs a Python file that registers names.

    Raises:
        PluginError: If there is no such file, or it fails.
    """
    if not path.is_file():
        raise PluginError(f"--plugin {path} does not exist: expected a Python file that registers something.")
    name = _module_name(path.resolve())
    known = sys.modules.get(name)
    if known is not None:
        return known  # what it registers with d3rlpy can be registered once
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"--plugin {path}: expected a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up annotations, and pickle finds classes
    try:
        spec.loader.exec_module(module)
    except PluginError:
        del sys.modules[name]
        raise
    except Exception as error:  # a plug-in is anybody's code
        del sys.modules[name]
        raise PluginError(f"--plugin {path} fails: {type(error).__name__}: {error}") from error
    return module


def _module_name(path: Path) -> str:
    """Of a plug-in at an absolute path: two files of one name, in two directories, are two modules."""
    return f"{PLUGIN_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def load_plugin_text(path: Path, text: str) -> ModuleType:
    """Runs a plug-in of another machine, where :func:`load_plugin` has run its file.

    Args:
        path: The file there.
        text: What it holds.
    """
    name = _module_name(path)
    known = sys.modules.get(name)
    if known is not None:
        return known
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def loaded_plugins() -> list[Path]:
    """Returns the files that :func:`load_plugin` has run in this process, in their order."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(PLUGIN_PREFIX)]
    return [Path(str(module.__file__)).resolve() for module in modules]


def _identity(target: object) -> object:
    """What tells one target from another: a class that a file defines anew each time it runs is the same one."""
    if isinstance(target, str):
        return target
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    return (module, name) if module and name else target
