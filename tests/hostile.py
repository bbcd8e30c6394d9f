"""Files of models with one value that no model has: of a wrong type, 0, negative, huge, a list of a wrong length.

`python -m tests.hostile 7 20000` tries so many of them, at the keys of every family and of every file in `tests/data/hf`.
"""

from __future__ import annotations

import json
import random
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from compiler.blocks.stack import stack
from compiler.config.families.table import FAMILIES, LIKE, NAMED
from compiler.config.hf import DEFAULTS, described
from compiler.costs.work.params import totals
from compiler.errors import ConfigError
from compiler.specs.ranges import problems
from tests.model_table import NEEDED

FILES = Path(__file__).parent / "data" / "hf"

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    3,
    1.5,
    2**31,
    2**70,
    -(10**400),
    float("inf"),
    float("nan"),
    "",
    "x",
    "\ud800",
    "9" * 5000,
    [],
    [0],
    [-1],
    ["x"],
    [None],
    [[1]],
    [2**40],
    [1] * 5000,
    ["full_attention"] * 5000,
    ["full_attention"],
    {},
    {"": None},
    {"x": 1},
    {"full_attention": {"rope_type": 1}},
)

Key = tuple[str, ...]


def files(kinds: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """A file of those families with all that its class says, else of every family, and files as they are published."""
    known = json.loads(DEFAULTS.read_text())
    for kind in sorted(kinds or {*FAMILIES, *NAMED}):
        name = NAMED.get(kind, kind)
        said = known.get(kind) or known.get(name) or known[LIKE.get(name, "llama")]
        yield {**said["defaults"], **NEEDED.get(kind, {}), "model_type": kind}
    for path in sorted(FILES.glob("*.json")) if not kinds else ():
        yield json.loads(path.read_text())


class Asked(dict[str, Any]):
    """A mapping that notes which keys it is asked for."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__({key: Asked(value) if isinstance(value, dict) else value for key, value in data.items()})
        self.asked: dict[str, None] = dict.fromkeys(data)

    def get(self, key: Any, default: Any = None) -> Any:
        self.asked[key] = None
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.asked[str(key)] = None
        return super().__contains__(key)

    def keys_within(self, above: Key = ()) -> Iterator[Key]:
        for key in self.asked:
            yield (*above, key)
            inner = super().get(key)
            if isinstance(inner, Asked):
                yield from inner.keys_within((*above, key))


def keys(data: dict[str, Any]) -> list[Key]:
    """What the file says, and what its reader asks for beside that, also within mappings."""
    found = Asked(data)
    refused(found)
    for key in [key for key in found.asked if key not in data]:
        inner = Asked({})
        probe = Asked(data)
        dict.__setitem__(probe, key, inner)
        refused(probe)
        if inner.asked:
            dict.__setitem__(found, key, inner)
    return list(found.keys_within())


def changed(data: dict[str, Any], key: Key, value: Any) -> dict[str, Any]:
    first, *rest = key
    old = data.get(first)
    inner = value if not rest else changed(old if isinstance(old, dict) else {}, tuple(rest), value)
    return {**data, first: inner}


def refused(data: dict[str, Any]) -> str | None:
    """What the file is refused with, by its reader or by the ranges of what it read; None where it is a model.

    Raises whatever else went wrong.
    """
    try:
        model = described("config.json", "config.json", data)
    except ConfigError as error:
        return str(error)
    found = "\n".join(str(problem) for problem in problems(model, "model"))
    if not found:
        stack(model)
        totals(model)
    return found or None


def fault(data: dict[str, Any], key: Key, value: Any) -> str | None:
    """What is wrong with how such a file is taken: a traceback, or a message that names neither the key nor what it is within."""
    try:
        found = refused(changed(data, key, value))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        at = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {at.filename}:{at.lineno}: {error}"
    if found is None or key[-1] in found or key[0] in found or key[0] == "model_type":
        return None
    quantized = "quant" in found and any("quant" in part or "compression" in part for part in key)
    return None if quantized else f"unnamed {'.'.join(key)}: {found}"


def main(seed: int, count: int) -> None:
    """Tell each kind of fault once, with the file that showed it."""
    chosen, told = random.Random(seed), set[str]()
    known = [(data, keys(data)) for data in files()]
    for _ in range(count):
        data, names = chosen.choice(known)
        key, value = chosen.choice(names), chosen.choice(VALUES)
        found = fault(data, key, value)
        if found is not None and found.partition(":")[0] not in told:
            told.add(found.partition(":")[0])
            print(f"{data['model_type']} {'.'.join(key)}={value!r:.40}: {found:.300}", flush=True)
    print(f"{count} files, {len(told)} faults")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
