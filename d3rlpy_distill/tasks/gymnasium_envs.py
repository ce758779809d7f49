"""Environments by gymnasium's ids, and errors that say which id or which extra was meant."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, registry

from ..errors import DistillError, MissingExtraError, UnknownNameError

__all__ = ["FRAME_SKIP", "STACKED_FRAMES", "find_env", "leaves_traces", "make_env", "simulator_versions"]

FRAME_SKIP = 4
STACKED_FRAMES = 4
LEAVES_TRACES = ("BipedalWalker",)


MUJOCO = "gymnasium.envs.mujoco"
LAST_OF_MUJOCO_PY = 3  # versions 4 and later of its tasks run with mujoco


@dataclasses.dataclass(frozen=True)
class Simulator:
    """A family of environments that needs packages of its own.

    Args:
        extra: The extra that brings them.
        entry_point: How the entry points of its environments begin.
        modules: What is imported.
        distributions: What is installed; not all of them have to be.
    """

    extra: str
    entry_point: str
    modules: tuple[str, ...]
    distributions: tuple[str, ...]

    def missing(self) -> list[str]:
        """Returns the modules that cannot be imported."""
        return [module for module in self.modules if importlib.util.find_spec(module) is None]

    def error(self, env_id: str) -> MissingExtraError:
        """Returns the error for an environment that cannot be made."""
        return MissingExtraError(
            f"{env_id} needs {' and '.join(self.missing())}; type: pip install 'd3rlpy-distill[{self.extra}]'"
        )


ATARI = Simulator("atari", "ale_py.", ("ale_py", "cv2"), ("ale-py", "opencv-python-headless", "opencv-python"))
SIMULATORS = (
    ATARI,
    Simulator("mujoco", MUJOCO, ("mujoco",), ("mujoco",)),
    Simulator("box2d", "gymnasium.envs.box2d", ("Box2D", "pygame"), ("Box2D", "box2d-py", "pygame")),
)


def find_env(env_id: str) -> EnvSpec:
    """Returns what gymnasium has registered under an id; ``module:ID`` imports the module first.

    Raises:
        UnknownNameError: If there is no such id; the message names the nearest.
        MissingExtraError: If it is one of Atari's, whose package is missing.
        DistillError: If the module of ``module:ID`` cannot be imported.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        try:
            importlib.import_module(module)
        except Exception as error:  # of a module of anybody's, or of a name that is none
            raise DistillError(f"{env_id}: the module {module!r} cannot be imported: {error}.") from error
    if name not in registry and "ale_py" not in ATARI.missing():
        ale = importlib.import_module("ale_py")  # registers Atari's
        ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)  # it would announce itself with every environment
    if name in registry:
        return registry[name]
    if name.startswith("ALE/") or re.search(r"(NoFrameskip|Deterministic)-v\d+$", name):
        if ATARI.missing():
            raise ATARI.error(name)
        if not any(known.startswith("ALE/") for known in registry):
            raise MissingExtraError(
                f"ale_py {importlib.metadata.version('ale-py')} does not register its games with gymnasium "
                f"{gymnasium.__version__}; type: pip install 'd3rlpy-distill[atari]'"
            )
    raise UnknownNameError(
        f"gymnasium has no environment {name!r}: did you mean {_nearest(name)!r}? "
        "'python -c \"import gymnasium; gymnasium.pprint_registry()\"' lists them all."
    )


def make_env(env_id: str, *, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """Makes an environment of gymnasium's as it is registered; Atari's are preprocessed as usual.

    Atari's images are those of Machado et al. 2018: an action lasts 4 frames, whatever the id says, up to 30 frames
    without an action at the start, the maximum of the last two frames, grey, 84x84, the last four of them stacked.
    Sticky actions, and whether there are any, are the id's (``ALE/X-v5`` has them, ``XNoFrameskip-v4`` has not).
    The end of a life ends no episode.

    Args:
        env_id: Of gymnasium.
        render_mode: ``"rgb_array"`` for one that draws.

    Raises:
        UnknownNameError: If there is no such id.
        MissingExtraError: If the simulator is not installed; the message says what to type.
        DistillError: If the environment cannot be made for another reason.
    """
    spec = find_env(env_id)
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it would go to stdout, where results go
    if render_mode is not None and sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")  # it would try a window first, and show how that fails
    try:
        if _entry_point(spec).startswith(ATARI.entry_point) and spec.kwargs.get("obs_type") != "ram":
            env = gymnasium.make(spec, frameskip=1, render_mode=render_mode, disable_env_checker=True)
            images = gymnasium.wrappers.AtariPreprocessing(env, frame_skip=FRAME_SKIP)
            return gymnasium.wrappers.FrameStackObservation(images, STACKED_FRAMES)
        return gymnasium.make(spec, render_mode=render_mode, disable_env_checker=True)
    except (ImportError, gymnasium.error.Error) as error:
        raise _cannot_make(spec, error) from error


def leaves_traces(env_id: str) -> bool:
    """Tells whether an environment keeps something of an episode when it is reset for the next one.

    gymnasium 1.0.0's BipedalWalker goes on in the same Box2D world, whose next episode then differs in the last
    digits from that of a new one.
    """
    return env_id.rpartition(":")[2].startswith(LEAVES_TRACES)


def simulator_versions(env: gymnasium.Env[Any, Any]) -> dict[str, str]:
    """Returns the versions of gymnasium and of the packages that simulate an environment."""
    versions = {"gymnasium": gymnasium.__version__}
    module = type(env.unwrapped).__module__
    names = [name for known in SIMULATORS if module.startswith(known.entry_point) for name in known.distributions]
    if not names and not module.startswith("gymnasium."):
        names = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _entry_point(spec: EnvSpec) -> str:
    return spec.entry_point if isinstance(spec.entry_point, str) else ""


def _cannot_make(spec: EnvSpec, error: Exception) -> DistillError:
    """What gymnasium says when it cannot make an environment, in one line that says what to type."""
    newest = _nearest(spec.id)
    instead = f": give {newest} instead." if newest != spec.id else "."
    old = _entry_point(spec).startswith(MUJOCO) and (spec.version or 0) <= LAST_OF_MUJOCO_PY
    if old or "mujoco_py" in str(error):  # without mujoco gymnasium asks for that first, which would not help
        return DistillError(f"{spec.id} needs mujoco_py, which is abandoned{instead}")
    for known in SIMULATORS:
        if _entry_point(spec).startswith(known.entry_point) and known.missing():
            return known.error(spec.id)
    causes = (error, error.__cause__)
    missing = next((one.name for one in causes if isinstance(one, ModuleNotFoundError) and one.name), None)
    if missing is not None:
        return MissingExtraError(f"{spec.id} needs {missing}; type: pip install {missing}")
    return DistillError(f"{spec.id} cannot be made ({str(error).splitlines()[0]}){instead}")


def _nearest(name: str) -> str:
    """Returns the newest version of the same name, or else the id that is spelled most like it."""
    versions = [known for known in registry if _unversioned(known) == _unversioned(name)]
    if versions:
        return max(versions, key=lambda known: registry[known].version or 0)
    lower = {known.lower(): known for known in registry}
    return lower[difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.0)[0]]


def _unversioned(name: str) -> str:
    return re.sub(r"-v\d+$", "", name).lower()
