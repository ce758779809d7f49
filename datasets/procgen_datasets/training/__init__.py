"""Trains the experts: stable-baselines3's PPO on vectorised Procgen (extra ``experts``)."""

try:
    import stable_baselines3 as _  # noqa: F401
except ModuleNotFoundError as error:
    from d3rlpy_distill.errors import MissingExtraError

    raise MissingExtraError(
        "training experts needs stable-baselines3; type: pip install 'd3rlpy-distill[experts]'"
    ) from error

from .config import TrainExpertConfig
from .curve import CurvePoint
from .export import export_expert, export_run
from .run import TrainResult, train_expert

__all__ = ["CurvePoint", "TrainExpertConfig", "TrainResult", "export_expert", "export_run", "train_expert"]
