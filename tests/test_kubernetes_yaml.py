"""The one emitter of YAML: a real parser reads everything back."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.render.yaml import emit
from tests.kubernetes_plans import VALUES

TEXT = st.text(st.characters(codec="utf-8"))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from([*VALUES.values(), "a\nb\n", "a\n\n b\n", "a \nb\n", "\x07a\nb\n", "a\x85\nb\n"]),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(TEXT, VALUE, min_size=1), min_size=1, max_size=3))
def test_a_real_parser_reads_everything_back(written: list[dict[str, Any]]) -> None:
    assert list(yaml.safe_load_all(emit(written))) == written


def test_key_order_is_kept_and_strange_types_are_refused() -> None:
    assert emit([{"b": 1, "a": {"no": True, "x/y.z": ["c"]}}]).splitlines()[1:] == [
        "---", "b: 1", "a:", '  "no": true', "  x/y.z:", '    - "c"'
    ]  # fmt: skip
    with pytest.raises(TypeError, match="set has no place in YAML"):
        emit([{"a": {1}}])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_a_number_to_an_old_parser_too(number: float) -> None:
    assert yaml.safe_load(emit([{"a": number}])) == {"a": number}
