"""Checkpoints of a training run: all that the next update depends on, in one file without pickled code."""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from d3rlpy_distill.errors import DamagedFileError
from d3rlpy_distill.files import load_state, save_state
from d3rlpy_distill.threads import warn_of_threads

from ..errors import TrainingError
from .environment import Sb3ProcgenEnv

__all__ = ["capture", "load_checkpoint", "restore", "save_checkpoint"]

FORMAT = 1


def capture(model: PPO, rewards: VecNormalize, env: Sb3ProcgenEnv) -> dict[str, Any]:
    """Returns the state between two rollouts as tensors and numbers."""
    states = env.env.state()
    numpy_rng: Any = np.random.get_state(legacy=True)  # noqa: NPY002  (what stable-baselines3 draws from)
    _, keys, position, has_gauss, gauss = numpy_rng
    statistics = rewards.ret_rms
    return {
        "policy": model.policy.state_dict(),
        "optimizer": _portable(model.policy.optimizer.state_dict()),
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": [dict(episode) for episode in model.ep_info_buffer or ()],
        "episode_starts": torch.from_numpy(np.array(model._last_episode_starts)),
        "env": torch.frombuffer(bytearray(zlib.compress(b"".join(states), 1)), dtype=torch.uint8),
        "env_lengths": [len(state) for state in states],
        "running_returns": torch.from_numpy(env.returns.copy()),
        "running_lengths": torch.from_numpy(env.lengths.copy()),
        "discounted_returns": torch.from_numpy(np.array(rewards.returns)),
        "return_statistics": [float(x) for x in (statistics.mean, statistics.var, statistics.count)],
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if model.device.type == "cuda" else [],
        "numpy_rng": [torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
    }


def restore(state: dict[str, Any], model: PPO, rewards: VecNormalize, env: Sb3ProcgenEnv) -> None:
    """Puts a freshly built model and its environments into a captured state."""
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    model.num_timesteps = state["steps"]
    model._n_updates = state["updates"]
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    observations = env.restore(
        _split(zlib.decompress(state["env"].numpy().tobytes()), state["env_lengths"]),
        state["running_returns"].numpy(),
        state["running_lengths"].numpy(),
    )
    model._last_obs = observations
    model._last_episode_starts = state["episode_starts"].numpy()
    rewards.returns = state["discounted_returns"].numpy()
    statistics: Any = rewards.ret_rms
    mean, var, statistics.count = state["return_statistics"]
    statistics.mean, statistics.var = np.float64(mean), np.float64(var)
    keys, position, has_gauss, gauss = state["numpy_rng"]
    words = keys.numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, position, has_gauss, gauss))  # noqa: NPY002
    torch.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] and model.device.type == "cuda":
        torch.cuda.set_rng_state_all(state["cuda_rng"])


def _portable(state: dict[str, Any]) -> dict[str, Any]:
    """Returns an optimizer's state as one on the CPU has it, whatever a GPU needed for its graphs."""
    groups = [group | {"lr": float(group["lr"]), "capturable": False} for group in state["param_groups"]]
    moments = {k: {n: v.cpu() if n == "step" else v for n, v in one.items()} for k, one in state["state"].items()}
    return {"state": moments, "param_groups": groups}


def _split(data: bytes, lengths: Sequence[int]) -> list[bytes]:
    ends = np.cumsum(lengths)
    return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def save_checkpoint(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Writes a state with what it belongs to; a kill or a full disk leaves the previous checkpoint in place."""
    threads = [torch.get_num_threads()]
    save_state(path, {"format": FORMAT, "identity": json.dumps(identity), "threads": threads, "state": state})


def load_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Reads a state back.

    Raises:
        TrainingError: If there is none, it is truncated, or it belongs to another run.
    """
    if not path.exists():
        raise TrainingError(f"--resume: {path} does not exist; leave --resume out to start a new run there.")
    try:
        loaded = load_state(path)
        version, known, state = loaded["format"], json.loads(loaded["identity"]), loaded["state"]
    except (DamagedFileError, KeyError, ValueError, TypeError) as error:
        raise TrainingError(
            f"checkpoint {path} is truncated or damaged and cannot be resumed: copy it back from elsewhere, or "
            f"start anew in another --out."
        ) from error
    if version != FORMAT:
        raise TrainingError(f"checkpoint {path} is of format {version}, this version reads {FORMAT}.")
    given = json.loads(json.dumps(identity))
    for key in sorted(known.keys() | given.keys()):
        if known.get(key) != given.get(key):
            raise TrainingError(
                f"checkpoint {path} belongs to another run: it has {key} {known.get(key)!r}, this one "
                f"{given.get(key)!r}; resume with the settings it was started with, or give another --out."
            )
    warn_of_threads(path, loaded.get("threads", []))
    result: dict[str, Any] = state
    return result
