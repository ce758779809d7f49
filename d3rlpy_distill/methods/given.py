"""Methods with teachers that can begin from the samples of a set that was distilled before."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ..errors import SettingsError
from .distilled import Distilled
from .labels import LabelDistillationConfig

__all__ = ["GivenSamplesMethod"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenSamplesMethod(LabelDistillationConfig):
    """Base of methods with an option ``begin``, one of whose choices is ``"given"``.

    Args, beside those of :class:`~.labels.LabelDistillationConfig`:
        given_samples: What ``begin="given"`` begins from: samples with soft labels.
    """

    seeds_teachers_alone: ClassVar[bool] = False

    given_samples: Distilled | None = dataclasses.field(
        default=None, repr=False, compare=False, metadata={"json": False}
    )

    @classmethod
    def of_given(cls, samples: Distilled) -> dict[str, Any]:
        """Returns the settings with which the method begins from the samples of a set."""
        return {"given_samples": samples, "n_samples": len(samples)}

    def check_given(self, begin: str) -> None:
        """Refuses ``begin="given"`` without a set with soft labels, and a set without it.

        Raises:
            SettingsError: Saying what is missing.
        """
        given = self.given_samples
        if (begin == "given") != (given is not None):
            raise SettingsError(
                f"begin={begin!r} {'without' if given is None else 'with'} given samples: 'given' goes with a "
                "set with soft labels, on the command line that of --teachers."
            )
        if given is not None and not given.soft:
            raise SettingsError("the given set has no soft labels: expected one of a method that gives them.")
        if given is not None and given.views is not None:
            raise SettingsError(
                f"the given set has {len(given.views):,} views, which would be lost: begin with another set, or with "
                "real observations and these teachers."
            )
