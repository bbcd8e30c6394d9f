"""Our frozen dataclasses are the standard ones, for whoever makes, compares, hashes, prints, copies or changes a value."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.frozen import dataclass


@dataclass(frozen=True)
class Base:
    """Fields of all forms, under names that the generated function uses or might."""

    held: int
    names: tuple[int, ...] = ()
    kept: list[int] = field(default_factory=list, compare=False)
    made: list[int] = field(default_factory=lambda: [7], init=False, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Derived(Base):
    """A field of its own, that is checked."""

    word: str = "a"

    def __post_init__(self) -> None:
        if not self.word:
            raise ValueError("no word")


def standard(kind: type, *, kw_only: bool = False, **options: bool) -> Any:
    """The same class by the standard decorator."""
    body = {
        key: value
        for key, value in vars(kind).items()
        if key in ("__annotations__", "__module__", "names", "word", "__post_init__")
    }
    body |= {
        f.name: field(default_factory=f.default_factory, init=f.init, repr=f.repr, compare=f.compare)
        for f in fields(kind)
        if f.default_factory is not dataclasses.MISSING and f.name in kind.__annotations__
    }
    bases = tuple(standard(base) for base in kind.__bases__ if base is not object)
    return dataclasses.dataclass(frozen=True, kw_only=kw_only, **options)(type(kind.__name__, bases, body))


VALUES = st.builds(
    lambda held, names, kept, word: ((held, names), {"kept": kept, "word": word}),
    st.integers(0, 2),
    st.tuples(st.integers(0, 1)),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["a", "b"]),
)
OTHER = standard(Derived, kw_only=True)


@given(VALUES, VALUES)
def test_values_are_what_the_standard_decorator_makes(one: Any, other: Any) -> None:
    ours, theirs = ([kind(*args, **named) for args, named in (one, other)] for kind in (Derived, OTHER))
    assert [asdict(value) for value in ours] == [asdict(value) for value in theirs]
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])
    assert [hash(value) for value in ours] == [hash(value) for value in theirs]
    assert [repr(value) for value in ours] == [repr(value).replace("standard.<locals>.", "") for value in theirs]
    assert replace(ours[0], held=9) == Derived(9, ours[0].names, word=ours[0].word)
    for same in (copy.copy(ours[0]), copy.deepcopy(ours[0]), pickle.loads(pickle.dumps(ours[0]))):
        assert same == ours[0]
        assert same.kept == ours[0].kept


def test_nothing_of_a_value_changes() -> None:
    value = Base(1)
    for name in ("held", "another"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(value, name, 2)
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'held'"):
        del value.held


def test_a_factory_is_called_for_each_value_and_a_wrong_call_is_refused() -> None:
    assert Base(1).kept is not Base(1).kept
    assert Base(1).made == [7]
    assert Base(1) != Derived(1)
    with pytest.raises(TypeError, match="held"):
        Base()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="no word"):
        Derived(1, word="")
    with pytest.raises(TypeError, match="positional"):
        Derived(1, (), [], "b")  # type: ignore[call-arg]


def test_a_standard_class_inherits_from_ours_if_it_is_frozen_too() -> None:
    class Below(Derived):
        """A plugin's, say."""

        more: int = 3

    assert dataclasses.dataclass(frozen=True)(Below)(1).more == 3
    with pytest.raises(TypeError, match="non-frozen"):
        dataclasses.dataclass(Below)


def test_only_frozen_ones_are_made() -> None:
    with pytest.raises(TypeError, match="frozen=True"):
        dataclass(frozen=False)


@dataclass(frozen=True)
class One:
    """A value alone is compared as one of several is: the same object is equal to itself."""

    value: float


def test_one_field_is_compared_as_several_are() -> None:
    nan = float("nan")
    assert One(nan) == One(nan)
    assert One(nan) != One(float("nan"))


def test_fields_without_a_default_come_first() -> None:
    class Bad:
        first: int = 0
        second: int

    with pytest.raises(TypeError, match="Bad: a field without a default follows one that has a default"):
        dataclass(frozen=True)(Bad)
