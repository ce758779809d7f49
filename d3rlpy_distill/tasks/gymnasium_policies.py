"""Policies from files: students, stable-baselines3's ``.zip`` and d3rlpy's ``.d3``."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from d3rlpy.algos import BC, DiscreteBC, DiscreteSAC
from d3rlpy.algos.qlearning.base import QLearningAlgoBase
from d3rlpy.base import load_learnable
from d3rlpy.constants import ActionSpace
from gymnasium.spaces import Box, Discrete, Space

from ..errors import CheckpointError, DistillError, MissingExtraError, SettingsError, UntrustedFileError
from ..files import read_document
from ..policies import Policy
from ..students.cloning import ImitatorPolicy, RegressorPolicy
from ..students.kept import is_student, load_student
from ..students.sac import ActorPolicy
from ..students.stock import CERTAIN, BestActionPolicy, ContinuousActionPolicy
from .base import LoadedPolicy
from .gymnasium_actor import is_actor, load_actor

if TYPE_CHECKING:
    from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

__all__ = [
    "Sb3ActionPolicy",
    "Sb3ActorPolicy",
    "Sb3BestActionPolicy",
    "file_sha256",
    "load_policy_file",
    "sb3_policy",
]

SUFFIXES = (".safetensors", ".zip", ".d3")


def load_policy_file(
    path: Path, shape: tuple[int, ...], action_size: int, discrete: bool, *, device: str, trust: bool
) -> LoadedPolicy:
    """Returns the policy that a file holds.

    Args:
        path: A student's or an actor's ``.safetensors``, stable-baselines3's ``.zip`` or d3rlpy's ``.d3``.
        shape: Of the task's observations.
        action_size: Number of its discrete actions, or of the dimensions of a continuous one.
        discrete: Whether its actions are discrete.
        device: torch device.
        trust: Load ``.zip`` and ``.d3``, which run code when they are loaded.

    Raises:
        SettingsError: If there is no such file, or it is of another kind.
        UntrustedFileError: If it holds pickled code and is not trusted.
        MissingExtraError: If stable-baselines3 is not installed.
        CheckpointError: If it is damaged.
        DistillError: If it is for other observations or actions.
    """
    if path.suffix not in SUFFIXES or not path.is_file():
        found = "is of another kind" if path.is_file() else "does not exist"
        raise SettingsError(
            f"policy {str(path)!r} {found}: expected random, a student's .safetensors, stable-baselines3's .zip or "
            "d3rlpy's .d3."
        )
    policy: Policy
    if path.suffix == ".safetensors":
        if is_actor(path):
            _check_card(path)
            actor = load_actor(path, device=device)
            policy, theirs = actor, (actor.shape, actor.action_size, False)
        elif not is_student(path):
            raise CheckpointError(
                f"{path} is no policy's file: expected one that a training left, or an evaluation kept."
            )
        else:
            student = load_student(path, device=device)
            policy, theirs = (
                student.policy,
                (student.shape, student.action_size, hasattr(student.policy, "logits")),
            )
    elif not trust:
        raise UntrustedFileError(
            f"{path} holds pickled code, which runs when it is loaded: add --trust if you trust where it comes from."
        )
    elif path.suffix == ".zip":
        _check_card(path)
        network = _read_sb3(path, device)
        policy, theirs = sb3_policy(network), _sb3_spaces(network, path, shape)
    else:
        policy, theirs = _read_d3rlpy(path, device)
    if theirs != (shape, action_size, discrete):
        raise DistillError(f"{path} is for {_spaces(*theirs)}: expected {_spaces(shape, action_size, discrete)}.")
    sha256 = file_sha256(path)
    return LoadedPolicy(path.stem, policy, sha256, {"expert": path.name, "expert_sha256": sha256})


def _check_card(path: Path) -> None:
    """Refuses a policy that is not the one its card describes, where it has one."""
    card = path.with_suffix(".json")
    if not card.is_file():
        return
    if read_document(card, unsealed=True).get("sha256", file_sha256(path)) != file_sha256(path):
        raise CheckpointError(
            f"{path} is not the policy that {card.name} describes, or is damaged: copy both again."
        )


def file_sha256(path: Path) -> str:
    """Returns the hash of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _spaces(shape: tuple[int, ...], action_size: int, discrete: bool) -> str:
    kind = f"{action_size} discrete actions" if discrete else f"continuous actions of {action_size} dimensions"
    return f"observations {shape} and {kind}"


class _Sb3Policy:
    """A policy of stable-baselines3 that reads a task's observations.

    Args:
        network: The policy.
    """

    def __init__(self, network: BasePolicy) -> None:
        self._network = network
        network.set_training_mode(False)

    def _read(self, observations: torch.Tensor) -> torch.Tensor:
        """Returns observations ``(B, ...)`` as the network's own space has them, on its device."""
        space = self._network.observation_space
        if isinstance(space, Discrete):
            observations = observations.argmax(1)
        elif len(space.shape or ()) == 3 and tuple(observations.shape[1:]) != space.shape:
            observations = observations.permute(0, 2, 3, 1)
        return observations.to(self._network.device)


class Sb3ActorPolicy(_Sb3Policy):
    """The stochastic actor of PPO or A2C, of discrete actions.

    Args:
        network: The policy.
    """

    _network: ActorCriticPolicy

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` to float32 log-probabilities ``(B, A)``."""
        with torch.no_grad():
            distribution = self._network.get_distribution(self._read(observations)).distribution
        assert isinstance(distribution, torch.distributions.Categorical)
        return distribution.logits.float().cpu()


class Sb3BestActionPolicy(_Sb3Policy):
    """The best discrete action of DQN and its like, with certainty: sampled and greedy play are the same."""

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` to float32 logits ``(B, A)``."""
        space = self._network.action_space
        assert isinstance(space, Discrete)
        with torch.no_grad():
            best = self._network._predict(self._read(observations), deterministic=True)
        return CERTAIN * F.one_hot(best.cpu().long().reshape(-1), int(space.n)).float()


class Sb3ActionPolicy(_Sb3Policy):
    """The mean of a policy of continuous actions: PPO, A2C, SAC, TD3, DDPG."""

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` to float32 actions ``(B, D)`` in the task's units."""
        with torch.no_grad():
            given = self._network._predict(self._read(observations), deterministic=True).cpu().numpy()
        if self._network.squash_output:
            given = self._network.unscale_action(given)
        return torch.from_numpy(np.asarray(given, np.float32)).reshape(len(observations), -1)


def sb3_policy(network: BasePolicy) -> Policy:
    """Returns a policy of stable-baselines3 as one of ours."""
    from stable_baselines3.common.policies import ActorCriticPolicy

    if not isinstance(network.action_space, Discrete):
        return Sb3ActionPolicy(network)
    if isinstance(network, ActorCriticPolicy):
        return Sb3ActorPolicy(network)
    return Sb3BestActionPolicy(network)


def _sb3_spaces(network: BasePolicy, path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int, bool]:
    """Returns what a policy is for: observations, as the task has them if they fit, and actions."""
    seen, taken = network.observation_space, network.action_space
    size = _size(taken)
    if size is None or not isinstance(seen, (Box, Discrete)):
        raise DistillError(
            f"{path} is for observations {seen} and actions {taken}: expected a Box or a Discrete each."
        )
    if isinstance(seen, Discrete):
        return (int(seen.n),), size, isinstance(taken, Discrete)
    theirs = tuple(seen.shape)
    if len(theirs) == 3 and (theirs[2], theirs[0], theirs[1]) == shape:
        theirs = shape  # images with the channels last
    return theirs, size, isinstance(taken, Discrete)


def _size(space: Space[Any]) -> int | None:
    if isinstance(space, Discrete):
        return int(space.n)
    return int(np.prod(space.shape)) if isinstance(space, Box) else None


SCHEDULES = ("clip_range", "clip_range_vf", "learning_rate", "lr_schedule", "exploration_schedule")
"""What only training needs; functions that were pickled by one version of Python fail in another."""


def _read_sb3(path: Path, device: str) -> BasePolicy:
    """Reads the policy of a ``.zip``, whatever the algorithm; its optimizer and its buffers stay behind."""
    if importlib.util.find_spec("stable_baselines3") is None:
        raise MissingExtraError(f"{path} needs stable-baselines3; type: pip install 'd3rlpy-distill[experts]'")
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.save_util import load_from_zip_file

    try:
        data, parameters, _ = load_from_zip_file(path, device="cpu", custom_objects=dict.fromkeys(SCHEDULES))
        assert data is not None
        arguments = {key: value for key, value in data.get("policy_kwargs", {}).items() if key != "device"}
        layers = arguments.get("net_arch")
        if isinstance(layers, list) and layers and isinstance(layers[0], dict):
            arguments["net_arch"] = layers[0]  # as versions before 1.8 wrote it
        kind = data["policy_class"]
        if issubclass(kind, ActorCriticPolicy):
            arguments["use_sde"] = data.get("use_sde", False)
        network: BasePolicy = kind(data["observation_space"], data["action_space"], lambda _: 0.0, **arguments)
        weights: Any = parameters["policy"]  # typed as a tensor there
        # versions before 1.7 had one feature extractor where there are three names for it now
        old = issubclass(kind, ActorCriticPolicy) and not any("pi_features_extractor" in k for k in weights)
        network.load_state_dict(weights, strict=not old)
    except (
        AssertionError, AttributeError, EOFError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError,
        pickle.UnpicklingError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read as a policy of stable-baselines3: {reason}") from error
    return network.to(device)


def _read_d3rlpy(path: Path, device: str) -> tuple[Policy, tuple[tuple[int, ...], int, bool]]:
    """Reads one of d3rlpy's algorithms, and what it is for."""
    for module in ("impala_encoder", "paper_encoder", "soft_bc"):  # registers what files of ours name
        importlib.import_module(f"d3rlpy_distill.students.{module}")
    try:
        learner = load_learnable(str(path), device)
    except (
        AssertionError, AttributeError, EOFError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read as an algorithm of d3rlpy: {reason}") from error
    if not isinstance(learner, QLearningAlgoBase):
        raise DistillError(
            f"{path} holds {type(learner).__name__}, which acts on its history: expected an algorithm that acts on "
            "one observation."
        )
    policy: Policy
    if isinstance(learner, DiscreteBC):
        policy = ImitatorPolicy(learner)
    elif isinstance(learner, BC):
        policy = RegressorPolicy(learner)
    elif isinstance(learner, DiscreteSAC):
        policy = ActorPolicy(learner)
    elif learner.get_action_type() == ActionSpace.DISCRETE:
        policy = BestActionPolicy(learner)
    else:
        policy = ContinuousActionPolicy(learner)
    shape = tuple(int(n) for n in learner.observation_shape)
    return policy, (shape, int(learner.action_size), hasattr(policy, "logits"))
