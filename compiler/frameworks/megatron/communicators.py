"""Megatron's communicators: the file of their options, and what making them all costs at start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler.checks import Check, Status, check, rule, warned
from compiler.frameworks.megatron.options import given, source
from compiler.frameworks.versions import version
from compiler.specs.config import Config
from compiler.world import World

FILE = "--nccl-communicator-config-path"
FIELDS = ("is_high_priority_stream", "cga_cluster_size", "max_ctas", "min_ctas", "net_name")
MANY = 200_000
"""Groups that take the rank generators alone several seconds on every rank (602,236 groups: 11 to 14 s)."""


@rule
def declared(config: Config) -> Iterator[Check]:
    """Keys and fields of the user's file, and names of groups on the command line, all of which may be misspelt unseen."""
    yield from _streams(config)
    for path in given(config).get(FILE, ())[-1:]:
        yield _file(config, path)


def laid_out(world: World) -> Iterator[Check]:
    """Every rank makes a group object for every group of the world, singletons included."""
    count = sum(kind.count for kind in world.kinds.values())
    yield check(
        "megatron-groups",
        holds=count <= MANY,
        observed=count,
        limit=MANY,
        message=f"every rank walks through {count} groups at start ({source(world.config, 'parallel_state.py')})",
        fix="write larger degrees, or allow for the time in --distributed-timeout-minutes",
        otherwise=Status.WARN,
    )


def _known(config: Config) -> tuple[str, ...]:
    facts = version(config).facts
    return (*facts.get("communicators", ()), *facts.get("remat_communicators", ()))


@rule
def _streams(config: Config) -> Iterator[Check]:
    names, known = given(config).get("--high-priority-stream-groups", ()), _known(config)
    if names:
        unknown = [name for name in names if name not in known]
        yield check(
            "megatron-stream-groups",
            holds=not unknown,
            observed=", ".join(unknown) or "known",
            limit="known names",
            message=f"--high-priority-stream-groups {' '.join(names)}: {source(config, 'parallel_state.py')} ignores names that it does not know: {', '.join(unknown) or 'none'}",
            fix=f"write some of {', '.join(known)}",
        )


def _file(config: Config, path: str) -> Check:
    """A file that the compiling machine has is held against what Megatron reads; another is unchecked."""
    file = Path(path)
    if not file.is_file():
        return warned(
            "megatron-communicators",
            observed="unread",
            limit="known keys",
            message=f"{FILE} {path} cannot be read here, so its keys are unchecked; {source(config, 'parallel_state.py')} ignores unknown ones",
            fix="compile where the file is, or leave it out",
        )
    wrong = _wrong(_content(file), _known(config))
    return check(
        "megatron-communicators",
        holds=not wrong,
        observed="; ".join(wrong) or "known",
        limit="known keys",
        message=f"{FILE} {file.name}: {'; '.join(wrong) or 'every key is known'} ({source(config, 'parallel_state.py')})",
        fix=f"write keys of {', '.join(_known(config))}, with {', '.join(FIELDS)}",
    )


def _content(file: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None


def _wrong(content: Any, known: tuple[str, ...]) -> list[str]:
    if not isinstance(content, dict):
        return ["it is no mapping of groups"]
    found = [f"{key} is no group" for key in content if key not in known]
    for key, fields in content.items():
        if not isinstance(fields, dict):
            found.append(f"{key} is no mapping of options")
            continue
        found += [f"{key}.{name} is no option" for name in fields if name not in FIELDS]
        net = fields.get("net_name")
        if net is not None and str(net).lower() not in ("ib", "socket"):
            found.append(f"{key}.net_name={net} is neither IB nor socket")
    return found
