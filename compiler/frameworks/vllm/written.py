"""The user's options as vLLM's parser reads them (`utils/argparse_utils.py` FlexibleArgumentParser)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from compiler.frameworks import json_text, known
from compiler.frameworks.told import Said, inside
from compiler.frameworks.vllm.arguments import ALIASES
from compiler.specs.config import Config

LEVEL = "-O"


def written(config: Config) -> Iterator[Said]:
    """- and _ are alike before a dot, behind which stands a key of a JSON; -O3 and -O 3 are a level of optimization."""
    for item in known.written(config):
        head, dot, key = item.name.partition(".")
        if head.startswith(LEVEL):
            level = item.name.removeprefix(LEVEL)
            yield replace(item, name="--optimization-level", values=(level, *item.values) if level else item.values)
            continue
        name = ALIASES.get(head, head).replace("_", "-")
        if dot and item.values:
            yield from inside(f"{name}.{key.removesuffix('+')}", _parsed(item.values[0]))
        else:
            yield replace(item, name=f"{name}{dot}{key}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(json_text.counted(text))
    except (ValueError, RecursionError):
        return text
