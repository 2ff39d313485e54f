"""Typed configs: what comes back is what was written, and mistakes are named."""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from stiid.config.experiment import Experiment
from stiid.typed_config import override, parse, to_dict


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A section."""

    rate: float
    name: str
    flag: bool

    def __post_init__(self) -> None:
        """Refuse a negative rate."""
        if self.rate < 0:
            raise ValueError(f"rate must not be negative, got {self.rate}")


@dataclass(frozen=True, kw_only=True)
class Apple:
    """A member of a union."""

    family: Literal["apple"]
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Pear:
    """Another member."""

    family: Literal["pear"]
    length: float


@dataclass(frozen=True, kw_only=True)
class Quince:
    """A member with defaults."""

    family: Literal["quince"] = "quince"
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Root:
    """All kinds of fields."""

    count: int
    leaf: Leaf
    leaves: Mapping[str, Leaf]
    pair: tuple[float, float]
    many: tuple[int, ...]
    maybe: float | None
    free: Mapping[str, Any]
    fruit: Apple | Pear


SECTION = {
    "count": 3,
    "leaf": {"rate": 0.5, "name": "a", "flag": True},
    "leaves": {
        "b": {"rate": 1, "name": "b", "flag": False},
        "a": {"rate": 2.0, "name": "", "flag": True},
    },
    "pair": [1, 2.5],
    "many": [],
    "maybe": None,
    "free": {"x": [1, 2], "y": {"z": "text"}},
    "fruit": {"family": "pear", "length": 7.0},
}


def test_fields_take_their_types():
    root = parse(Root, SECTION)
    assert root.leaf == Leaf(rate=0.5, name="a", flag=True)
    assert list(root.leaves) == ["a", "b"]
    assert root.leaves["b"].rate == 1.0
    assert isinstance(root.leaves["b"].rate, float)
    assert root.pair == (1.0, 2.5)
    assert root.many == ()
    assert root.maybe is None
    assert root.free == {"x": (1, 2), "y": {"z": "text"}}
    assert root.fruit == Pear(family="pear", length=7.0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("count", "3", r"config\.count: expected int, got '3'"),
        ("count", True, r"config\.count: expected int, got True"),
        ("count", 3.0, r"config\.count: expected int, got 3\.0"),
        ("leaf", 5, r"config\.leaf: expected a section, got 5"),
        ("leaf.flag", 1, r"config\.leaf\.flag: expected bool, got 1"),
        ("leaf.rate", True, r"config\.leaf\.rate: expected float, got True"),
        ("leaf.rate", -1.0, r"config\.leaf: rate must not be negative, got -1\.0"),
        ("leaf.extra", 1, r"config\.leaf: unknown field\(s\) extra; known: flag, name, rate"),
        ("leaves.a.name", None, r"config\.leaves\.a\.name: expected str, got None"),
        ("pair", [1.0], r"config\.pair: expected 2 values, got \[1\.0\]"),
        ("leaf.rate", math.inf, r"config\.leaf\.rate: expected a finite number, got inf"),
        ("pair", [1.0, -1e39], r"config\.pair\[1\]: expected a number within ±3\.4e\+38, got -1e"),
        ("many", [1, "x"], r"config\.many\[1\]: expected int, got 'x'"),
        ("maybe", "x", r"config\.maybe: expected float, got 'x'"),
        (
            "fruit",
            {"family": "plum"},
            r"config\.fruit\.family: expected one of \('apple', 'pear'\)",
        ),
        ("fruit", 3, r"config\.fruit\.family: expected one of"),
        ("fruit.seeds", 3, r"config\.fruit: unknown field\(s\) seeds; known: family, length"),
    ],
)
def test_mistakes_are_named(path, value, message):
    section = json.loads(json.dumps(SECTION))
    *parents, name = path.split(".")
    node = section
    for parent in parents:
        node = node[parent]
    node[name] = value
    with pytest.raises(ValueError, match=f"^{message}"):
        parse(Root, section)


@given(st.sampled_from(sorted(SECTION)))
def test_fields_without_a_default_are_needed(name):
    section = {key: value for key, value in SECTION.items() if key != name}
    with pytest.raises(ValueError, match=rf"config: missing field\(s\) {name}$"):
        parse(Root, section)


@dataclass(frozen=True, kw_only=True)
class Basket:
    """Fields with and without a default."""

    owner: str
    size: int = 3
    fruit: Quince | Apple = field(default_factory=Quince)
    labels: Mapping[str, str] = field(default_factory=dict)


def test_fields_that_are_left_out_take_their_defaults():
    basket = parse(Basket, {"owner": "me"})
    assert basket == Basket(owner="me")
    assert to_dict(basket) == {
        "owner": "me",
        "size": 3,
        "fruit": {"family": "quince", "weight": 1.0},
        "labels": {},
    }


def test_a_section_that_names_some_fields_keeps_the_defaults_of_the_others():
    assert parse(Basket, {"owner": "me", "fruit": {"weight": 2}}).fruit == Quince(weight=2.0)
    apple = {"family": "apple", "seeds": 2}
    assert parse(Basket, {"owner": "me", "fruit": apple}).fruit == Apple(**apple)
    with pytest.raises(ValueError, match=r"^config: missing field\(s\) owner$"):
        parse(Basket, {"size": 3})
    with pytest.raises(ValueError, match=r"^config: unknown field\(s\) sise; known: fruit, "):
        parse(Basket, {"owner": "me", "sise": 3})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SECTION, "family", "rate"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_anything_else_is_a_value_error(value):
    with pytest.raises(ValueError, match="config"):
        parse(Root, value)


@given(st.sampled_from(sorted(SECTION)), _JSON)
def test_a_field_is_typed_or_refused(name, value):
    try:
        root = parse(Root, {**SECTION, name: value})
    except ValueError:
        return
    assert parse(Root, json.loads(json.dumps(to_dict(root)))) == root


def test_overrides_change_what_they_name():
    root = parse(Root, SECTION)
    changed = override(root, {"count": 4, "leaf": {"rate": 3}, "fruit": {"length": 1.0}}, "here")
    assert changed.count == 4
    assert changed.leaf == Leaf(rate=3.0, name="a", flag=True)
    assert changed.fruit == Pear(family="pear", length=1.0)
    assert changed.leaves == root.leaves
    assert override(root, {}, "here") == root
    for changes, message in (
        ({"leaf": {"rat": 3}}, r"here\.leaf: unknown field\(s\) rat"),
        ({"leef": {}}, r"here: unknown field\(s\) leef"),
        ({"leaf": 3}, r"here\.leaf: expected a section, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            override(root, changes, "here")


def test_a_mapping_is_no_sequence():
    config = copy.deepcopy(tiny.CONFIG)
    config["model"]["inference"]["log_var_range"] = {}
    with pytest.raises(ValueError, match=r"log_var_range: expected .*, got \{\}"):
        parse(Experiment, config)
