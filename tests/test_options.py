"""Options of configurations: ranges, choices, None and what to type for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from d3rlpy.algos import DiscreteBCConfig

from buffers import built_in
from d3rlpy_distill import GradientMatchingConfig
from d3rlpy_distill.catalogue import METHODS
from d3rlpy_distill.errors import DistillError, SettingsError
from d3rlpy_distill.methods import Method
from d3rlpy_distill.options import Option, check_options, option, options_of
from d3rlpy_distill.tasks import CollectSettings

NAN = float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One of each kind."""

    count: int = option(3, "A count.", minimum=1)
    rate: float = option(0.5, "A rate.", above=0, maximum=2)
    share: float = option(0.5, "A share.", minimum=0, below=1)
    distance: str = option("l2", "A distance.", choices=("l2", "cosine"))
    percent: float | None = option(None, "A percentage.", above=0, maximum=100, off=100)
    size: int | None = option(8, "A size.", minimum=1, off=0)
    name: str | None = option(None, "A name.")
    flag: bool = option(False, "A flag.")
    plain: int = 7

    def __post_init__(self) -> None:
        check_options(self)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 1),
        ("count", 10**9),
        ("rate", 2.0),
        ("rate", 1e-12),
        ("share", 0),
        ("share", 0.999),
        ("distance", "cosine"),
        ("percent", None),
        ("percent", 100),
        ("size", None),
        ("name", "anything"),
        ("flag", True),
        ("plain", -1),
    ],
)
def test_what_lies_in_the_range_is_taken(field: str, value: Any) -> None:
    assert getattr(Settings(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", 0, "count=0: expected 1 or more."),
        ("count", NAN, "count=nan: expected a whole number of 1 or more."),
        ("count", 10.5, "count=10.5: expected a whole number of 1 or more."),
        ("count", True, "count=True: expected a whole number of 1 or more."),
        ("count", None, "count=None: expected 1 or more."),
        ("count", "3", "count='3': expected a whole number of 1 or more."),
        ("rate", True, "rate=True: expected a number of above 0 and at most 2."),
        ("flag", 1, "flag=1: expected True or False."),
        ("rate", 0.0, "rate=0.0: expected above 0 and at most 2."),
        ("rate", 2.0001, "rate=2.0001: expected above 0 and at most 2."),
        ("rate", NAN, "rate=nan: expected above 0 and at most 2."),
        ("rate", float("inf"), "rate=inf: expected above 0 and at most 2."),
        ("share", 1.0, "share=1.0: expected 0 or more and below 1."),
        ("share", -0.1, "share=-0.1: expected 0 or more and below 1."),
        ("distance", "l3", "distance='l3': expected one of l2, cosine."),
        ("distance", None, "distance=None: expected one of l2, cosine."),
        ("percent", 0, "percent=0: expected above 0 and at most 100 or None."),
        ("percent", 101, "percent=101: expected above 0 and at most 100 or None."),
        ("percent", NAN, "percent=nan: expected above 0 and at most 100 or None."),
        ("size", 0, "size=0: expected 1 or more or None."),
        ("flag", None, "flag=None: expected a value."),
    ],
)
def test_what_lies_outside_is_named_with_its_range(field: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{field: value})
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, DistillError)


def test_numbers_of_numpys_become_pythons() -> None:
    taken = Settings(count=np.int64(3), rate=np.float32(0.5), flag=np.bool_(True))  # type: ignore[arg-type]
    assert [type(one) for one in (taken.count, taken.rate, taken.flag)] == [int, float, bool]
    assert (taken.count, taken.rate, taken.flag) == (3, 0.5, True)


def test_nan_and_infinity_lie_in_no_range_whatever_it_is() -> None:
    for told in (Option("x"), Option("x", minimum=0), Option("x", below=1), Option("x", choices=("a",))):
        assert not any(told.admits(value) for value in (NAN, float("inf"), float("-inf")))
    for field in ("learning_rate", "percent"):
        with pytest.raises(SettingsError, match=f"{field}=inf: expected above 0"):
            GradientMatchingConfig(learner=DiscreteBCConfig(), **{field: float("inf")})


def test_numbers_without_a_range_are_taken_and_texts_too() -> None:
    told = Option("x")
    assert told.admits(-3) and told.admits(2.5) and told.admits("text") and told.expected() == ""
    assert not Option("x", minimum=0).admits("text")


def test_fields_without_an_option_are_none() -> None:
    found = {field.name: told for field, told in options_of(Settings)}
    assert list(found) == ["count", "rate", "share", "distance", "percent", "size", "name", "flag"]
    assert found["percent"].off == 100 and found["size"].off == 0 and found["count"].off is None
    assert found["distance"].choices == ("l2", "cosine") and found["rate"].help == "A rate."


@pytest.mark.parametrize("name", built_in(METHODS))
def test_every_option_of_a_method_is_told_and_admits_its_own_default(name: str) -> None:
    """A default out of its range could not be typed; one of None needs no word of its own where None is the default."""
    kind: type[Method] = METHODS.get(name)
    told = {field.name: (field, each) for field, each in options_of(kind)}
    assert "n_samples" in told
    for field, each in told.values():
        assert each.help.strip().endswith("."), field.name
        if field.default is not None:
            assert each.admits(field.default), field.name
        if each.off is not None:  # what is typed for None would otherwise be a value
            assert not each.admits(each.off) or each.off == each.maximum, field.name
    for field in dataclasses.fields(kind):
        assert field.name in told or field.metadata.get("json", True) is False, field.name


def test_settings_of_a_collection_are_checked_alike() -> None:
    with pytest.raises(SettingsError, match="episodes=0: expected 1 or more"):
        CollectSettings(episodes=0)
    with pytest.raises(SettingsError, match="seed=-1: expected 0 or more and below"):
        CollectSettings(seed=-1)
    with pytest.raises(SettingsError, match="envs=0: expected 1 or more or None"):
        CollectSettings(envs=0)
