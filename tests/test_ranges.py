"""From what to what every value goes: declared beside each field, and held by one walk."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from typing import Any, get_args, get_type_hints

from omegaconf import OmegaConf

from compiler.config import grammar
from compiler.config.load import load_config
from compiler.config.schema import writable
from compiler.costs.calibration import KernelCurve, LinkCurve
from compiler.errors import ConfigError, InvariantError, short
from compiler.pools import compile_any
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.specs.expect import Claim
from compiler.specs.fields import Rule, rule_of
from compiler.specs.ranges import problems
from compiler.specs.workload import Pools
from tests.test_ranges_refused import HUGE

SPECS = [Config, Pools, Claim, KernelCurve, LinkCurve, *(registry.target(name).options for name in registry.names())]
ODD: list[Any] = [
    0,
    -1,
    0.5,
    10**9,
    1e18,
    1e21,
    1e308,
    HUGE,
    -HUGE,
    float("nan"),
    float("inf"),
    True,
    "x",
    [],
    [[]],
    {},
]


def declared(spec: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Rule, Any]]:
    """(path, type, rule, default) of every field of a spec and of those within it."""
    hints = get_type_hints(spec)
    for name, item in spec.__dataclass_fields__.items():
        if is_dataclass(hints[name]):
            yield from declared(hints[name], (*path, name))
        else:
            yield (*path, name), hints[name], rule_of(item), item.default


def numeric(hint: Any) -> bool:
    """Whether a type is a number, or holds some."""
    return hint in (int, float) or any(map(numeric, get_args(hint)))


def held(hint: Any, value: Any) -> Any:
    """A value as a field of that type holds it: by name in a mapping, or as the one entry of a list."""
    kind = str(hint)
    return {"name": value} if "dict" in kind else [value] if "list" in kind else value


def with_value(spec: Any, path: tuple[str, ...], value: Any) -> Any:
    name, *rest = path
    return replace(spec, **{name: with_value(getattr(spec, name), tuple(rest), value) if rest else value})


FIELDS = [(spec.__qualname__, *found) for spec in SPECS for found in declared(spec)]
NUMBERS = [(path, hint, rule) for name, path, hint, rule, _ in FIELDS if name == "Config" and numeric(hint)]


def test_every_number_has_a_least_and_a_greatest_value() -> None:
    assert len(FIELDS) > 200
    for spec, path, hint, rule, default in FIELDS:
        assert (rule.least is not None) == (rule.greatest is not None) == numeric(hint), (spec, path)
        assert 0 < rule.entries <= 4096
        assert 0 <= rule.shortest < rule.longest <= 2**26
        if rule.least is None or rule.greatest is None:
            continue
        assert rule.least < rule.greatest < float("inf")
        if isinstance(default, (int, float)):
            assert rule.least <= default <= rule.greatest
        if rule.quantity is not None:
            assert rule.least <= rule.quantity.usual[0] < rule.quantity.usual[1] <= rule.greatest
        elif path[-1].endswith(("_s", "_bytes", "bandwidth", "latency", "efficiency")):
            assert spec in ("KernelCurve", "LinkCurve"), f"{path} is a quantity and has no unit"


def test_odd_numbers_in_every_field() -> None:
    """Whatever a field holds is refused, with a short message that has its key, or is a plan."""
    base = load_config(["scheduler=[]", "expect=moe_30b"])
    for path, hint, rule in NUMBERS:
        assert rule.least is not None
        assert rule.greatest is not None
        for odd in ODD:
            several = isinstance(odd, list) and "list" in str(hint)
            key, value = ".".join(path), odd if several else held(hint, odd)
            found = [str(problem) for problem in problems(with_value(base, path, value))]
            number = isinstance(odd, (int, float)) and not isinstance(odd, bool)
            good = (several and odd == []) or (number and rule.least <= odd <= rule.greatest)
            assert bool(found) != good, (key, short(odd), found)
            assert all(key in text and len(text) < 400 for text in found)


def test_extreme_numbers_make_a_plan_or_are_refused() -> None:
    """At the ends of every range there is no traceback, no wait, and no number without meaning in what is written."""
    base, before = load_config(["scheduler=[]"]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path, hint, rule in NUMBERS:
        for value in dict.fromkeys((rule.least, rule.greatest)):
            config = with_value(base, path, held(hint, value))
            start = time.process_time()
            with contextlib.suppress(ConfigError, InvariantError):
                if not list(grammar.problems(config)):
                    _finite(compile_any(config).to_dict())
            assert time.process_time() - start < 10, path
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2e6  # kB


def _finite(value: Any, path: str = "") -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _finite(part, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for part in value:
            _finite(part, path)
    elif isinstance(value, float) and path != ".bias":
        assert 0 <= value < float("inf"), path


def test_the_walk_is_a_schemas() -> None:
    """A field whose type says less than the schema still holds plain values alone."""
    node = OmegaConf.merge(writable(Config().launch), {"command": [["a"]]})
    assert [str(found) for found in problems(OmegaConf.to_object(node), "launch")] == [
        "launch.command[0]=['a'] is one list or mapping too many ; write one value in its place"
    ]
