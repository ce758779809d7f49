"""TD3 with behaviour cloning as a student."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.algos import TD3PlusBCConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.models.encoders import EncoderFactory

from .base import Budget
from .stock import StockStudent

__all__ = ["Td3BcStudent"]


@dataclasses.dataclass(frozen=True)
class Td3BcStudent(StockStudent):
    """d3rlpy's TD3+BC: TD3 that also clones (arXiv 2106.06860); continuous actions."""

    name: ClassVar[str] = "td3-bc"

    def continuous(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.TD3PlusBCConfig` with d3rlpy's settings."""
        return TD3PlusBCConfig(
            batch_size=budget.batch_size,
            actor_encoder_factory=encoder,
            critic_encoder_factory=encoder,
        )
