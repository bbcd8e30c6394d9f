"""SGLang's own argument class, out of its wheel: the fields of its HTTP server, and the parser that it makes of them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any
from unittest import mock

from compiler.frameworks.lifted import Source

FIELDS = "sglang.srt.arg_groups.fields."


class _Struct:
    """As msgspec's: a record by its annotations."""

    def __init_subclass__(cls, frozen: bool = False) -> None:
        dataclasses.dataclass(frozen=frozen, kw_only=True)(cls)


def parsed(source: Source, group: str, record: str, arguments: Sequence[str]) -> argparse.Namespace:
    """What the parser of one group of fields makes of arguments; those of other groups it does not know."""
    found = _modules()
    with mock.patch.dict(sys.modules, found):
        for name in ("sglang.srt.arg_groups.arg_utils", FIELDS + group):
            found[name] = sys.modules[name] = ModuleType(name)
            text = source.text(name.removeprefix("sglang.").replace(".", "/") + ".py")
            exec(compile(text, name, "exec"), vars(found[name]))
        parser = argparse.ArgumentParser()
        utilities: Any = found["sglang.srt.arg_groups.arg_utils"]
        utilities.add_cli_args_from_dataclass(parser, getattr(found[FIELDS + group], record))
        return parser.parse_known_args(arguments)[0]


def _modules() -> dict[str, ModuleType]:
    """What the two files import, as far as they use it."""
    given: dict[str, dict[str, Any]] = {
        "msgspec": {"Struct": _Struct, "NODEFAULT": object(), "UNSET": object()},
        "msgspec.structs": {"fields": dataclasses.fields},
        **{name: {"__path__": []} for name in ("sglang", "sglang.srt", "sglang.srt.arg_groups", "sglang.srt.utils")},
        "sglang.srt.utils.common": {"json_list_type": str},
    }
    found = {}
    for name, contents in given.items():
        found[name] = ModuleType(name)
        vars(found[name]).update(contents)
    vars(found["msgspec"])["structs"] = found["msgspec.structs"]
    return found
