"""Expert policies: safetensors weights (never pickle) with a JSON card beside them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from d3rlpy.algos import DiscreteBC, DiscreteBCConfig
from d3rlpy.preprocessing import PixelObservationScaler

from d3rlpy_distill.errors import DamagedFileError
from d3rlpy_distill.files import load_tensors, read_document
from d3rlpy_distill.policies import RandomPolicy
from d3rlpy_distill.students.impala_encoder import CHANNELS, ImpalaEncoderFactory, ImpalaNetwork
from d3rlpy_distill.students.kept import is_student, load_student
from d3rlpy_distill.tasks import LoadedPolicy

from .errors import ExpertError
from .games import N_ACTIONS

__all__ = ["FRAME_SHAPE", "Expert", "bundled_experts", "load_expert", "load_policy", "who_played"]

FRAME_SHAPE = (3, 64, 64)
RANDOM = "random"


def _experts_directory() -> Path:
    return Path(str(resources.files("procgen_datasets") / "experts"))


def bundled_experts() -> list[str]:
    """Returns the names of the experts that ship with the package."""
    return sorted(path.stem for path in _experts_directory().glob("*.safetensors"))


@dataclasses.dataclass(frozen=True)
class Expert:
    """A trained policy.

    Args:
        name: Name of the bundled expert, or the file's stem.
        network: Its network, in evaluation mode.
        architecture: One of :data:`~d3rlpy_distill.students.impala_encoder.ARCHITECTURES`.
        card: The JSON card; empty if there is none.
        sha256: Hash of the safetensors file, hexadecimal.
        dtype: Precision of the forward pass.
    """

    name: str
    network: ImpalaNetwork
    architecture: str
    card: Mapping[str, Any]
    sha256: str
    dtype: torch.dtype

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps frames uint8 ``(B, 3, 64, 64)`` to float32 logits ``(B, 15)``."""
        with torch.inference_mode():
            x = observations.to(self.network.fc.weight.device).to(self.dtype) / 255
            logits: torch.Tensor = self.network.policy(self.network(x))
        return logits.float().cpu()

    def as_learner(self) -> DiscreteBC:
        """Returns d3rlpy's ``DiscreteBC`` with this network and these weights, on the CPU, beta 0.

        It is what gradient matching takes to match at the expert's weights.
        """
        learner: DiscreteBC = DiscreteBCConfig(
            encoder_factory=ImpalaEncoderFactory(self.architecture),
            observation_scaler=PixelObservationScaler(),
            beta=0.0,
        ).create(device="cpu:0")
        learner.create_impl(FRAME_SHAPE, N_ACTIONS)
        imitator = learner.impl.modules.imitator
        weights = {k: v.float().cpu() for k, v in self.network.state_dict().items()}
        renamed = {f"_encoder.{k}": v for k, v in weights.items() if k.startswith(("blocks.", "fc."))}
        imitator.load_state_dict(
            renamed | {"_fc.weight": weights["policy.weight"], "_fc.bias": weights["policy.bias"]}
        )
        return learner


def load_expert(name_or_path: str | Path, *, device: str = "cpu:0", dtype: torch.dtype | None = None) -> Expert:
    """Loads a bundled expert by its name, or any expert from a ``.safetensors`` file.

    Args:
        name_or_path: ``"starpilot"``, or a path.
        device: torch device of the forward pass.
        dtype: Its precision; by default bfloat16 on CPUs that compute in it, else float32.

    Raises:
        ExpertError: If there is no such expert, or its file is damaged or of another architecture.
    """
    path = Path(name_or_path)
    if path.suffix != ".safetensors":
        path = _experts_directory() / f"{name_or_path}.safetensors"
        named = Path(name_or_path)
        if named.suffix or named.is_dir():
            what = "a directory" if named.is_dir() else "no policy of ours"
            raise ExpertError(
                f"{named} is {what}: expected the .safetensors file of an expert or of a student, or the name of a "
                f"bundled expert: {', '.join(bundled_experts())}."
            )
        if not path.exists():
            raise ExpertError(
                f"no bundled expert {str(name_or_path)!r}: bundled are {', '.join(bundled_experts())}; "
                "for another, give the path of its .safetensors file."
            )
    if not path.exists():
        raise ExpertError(f"expert file {path} does not exist: expected a .safetensors file.")
    try:
        weights, _ = load_tensors(path, unsealed=True)  # version 0.1's, and other programs'
    except (DamagedFileError, OSError) as error:
        raise ExpertError(f"expert file {path} cannot be read: {error}") from error
    card, sha256 = _card(path), _sha256(path)
    if card.get("sha256", sha256) != sha256:
        raise ExpertError(
            f"expert file {path} is not the one that {path.with_suffix('.json').name} describes, or is damaged: copy "
            "both files again."
        )
    architecture = _architecture(path, weights)
    network = ImpalaNetwork(FRAME_SHAPE, N_ACTIONS, architecture)
    expected = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    given = {k: tuple(v.shape) for k, v in weights.items()}
    if given != expected:
        off = sorted(k for k in expected.keys() | given.keys() if expected.get(k) != given.get(k))
        raise ExpertError(
            f"expert file {path} is not {architecture}: {off[0]} has shape {given.get(off[0])}, "
            f"expected {expected.get(off[0])}."
        )
    if bad := [k for k, v in weights.items() if not torch.isfinite(v).all()]:
        raise ExpertError(f"expert file {path} holds NaN or infinite weights in {bad[0]}.")
    network.load_state_dict(weights)
    if dtype is None:
        bfloat16 = device.startswith("cpu") and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        dtype = torch.bfloat16 if bfloat16 else torch.float32
    network = network.eval().requires_grad_(False).to(device, dtype).to(memory_format=torch.channels_last)
    return Expert(path.stem, network, architecture, card, sha256, dtype)


def load_policy(name: str, game: str, *, device: str = "cpu:0") -> LoadedPolicy:
    """Returns an expert, a student that an evaluation kept, or ``"random"`` play, for a game.

    Raises:
        ExpertError: If there is no such policy, or it plays another game.
    """
    if name == RANDOM:
        return LoadedPolicy(RANDOM, RandomPolicy(N_ACTIONS), about={"expert": RANDOM})
    path = Path(name)
    if path.suffix == ".safetensors" and path.exists() and is_student(path):
        student = load_student(path, device=device)
        if student.shape != FRAME_SHAPE or student.action_size != N_ACTIONS:
            raise ExpertError(f"{name} is a student for observations {student.shape}: expected {FRAME_SHAPE}.")
        told = {"expert": path.stem, "expert_sha256": student.sha256}
        return LoadedPolicy(path.stem, student.policy, student.sha256, told)
    expert = load_expert(name, device=device)
    if expert.card.get("game", game) != game:
        raise ExpertError(f"{name} plays {expert.card['game']}, not {game}.")
    about = {
        "expert": expert.name,
        "expert_sha256": expert.sha256,
        "expert_architecture": expert.architecture,
        "expert_dtype": str(expert.dtype).removeprefix("torch."),
    }
    return LoadedPolicy(expert.name, expert, expert.sha256, about, expert.as_learner)


def who_played(settings: Mapping[str, Any]) -> str | None:
    """Returns the policy that played a dataset, as :func:`load_policy` takes it; None where it is not there any more.

    Only the very file that played counts: another of the same name would be taken for the dataset's expert.

    Args:
        settings: Of the dataset's provenance: the policy's name, its hash, and its path where it was no bundled one.
    """
    name: str | None = settings.get("expert")
    if name is None or name == RANDOM:
        return name
    sha256, path = settings.get("expert_sha256"), settings.get("policy")
    if sha256 is None:  # version 0.1 did not always say
        return name if name in bundled_experts() else None
    if path is not None and Path(path).is_file() and _sha256(Path(path)) == sha256:
        return str(path)
    names = sorted(bundled_experts(), key=lambda one: one != name)
    same = (one for one in names if _sha256(_experts_directory() / f"{one}.safetensors") == sha256)
    return next(same, None)


def _architecture(path: Path, weights: Mapping[str, torch.Tensor]) -> str:
    first = weights.get("blocks.0.conv.weight")
    by_channels = {3: "impala", 12: "impala-s2d"}
    if first is None or first.ndim != 4 or first.shape[1] not in by_channels:
        given = None if first is None else tuple(first.shape)
        raise ExpertError(
            f"expert file {path} is of another architecture: blocks.0.conv.weight has shape {given}, "
            "expected (16, 3, 3, 3) for impala or (16, 12, 3, 3) for impala-s2d and impoola-s2d."
        )
    dense = weights.get("fc.weight")
    pooled = dense is not None and dense.ndim == 2 and dense.shape[1] == CHANNELS["impoola-s2d"][-1]
    return "impoola-s2d" if pooled and first.shape[1] == 12 else by_channels[first.shape[1]]


def _card(path: Path) -> dict[str, Any]:
    card = path.with_suffix(".json")
    if not card.exists():
        return {}
    try:
        return read_document(card, unsealed=True)  # version 0.1's
    except (DamagedFileError, OSError) as error:
        raise ExpertError(f"expert card {card} cannot be read: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
