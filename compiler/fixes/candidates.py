"""What might mend one problem: overrides that its fix names, what the fix says to leave out, options of `framework.args`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import reduce

from compiler.errors import CompilerError, Problem
from compiler.fixes import change, text
from compiler.frameworks.emission import is_flag
from compiler.pools import pool_config
from compiler.specs.config import Config
from compiler.specs.degrees import resolve
from compiler.specs.workload import ROLES

Overrides = tuple[str, ...]

COMMAND = "launch.command"
_ELSEWHERE = {"framework.args": "args", "framework.instances": "instances", "launch.spare_nodes": "spare_nodes"}
_ELSEWHERE |= {f"workload.{key}": key for key in ("global_batch_size", "draft_tokens")}
_IT = re.compile(r"it|them|both|the (variable|others|option|options)|one")


def role(problem: Problem) -> str | None:
    """The pool that a problem is about."""
    found = re.match(rf"(pools-\w+: )?({'|'.join(ROLES)})\b", problem.what)
    return found[2] if found else None


def view(config: Config, pool: str | None) -> Config:
    return config if pool is None else pool_config(config, pool)


def of(problem: Problem, config: Config) -> Iterator[Overrides]:
    """Sets of overrides that the text of a fix comes to, in its order."""
    pool = role(problem)
    if pool is None or config.workload.pools is None:
        yield from _of_text(problem, config)
        return
    seen = pool_config(config, pool)
    both, own = config.framework.args, config.workload.pools[pool].args
    for found in _of_text(problem, _told_only(seen, both)):
        words = [change.read(item.partition("=")[2]) for item in found if change.key(item) == "framework.args"]
        if words and len(words[0]) <= len(both):  # what both are told is wrong, and nothing is added to it
            yield found
    for found in _of_text(problem, _told_only(seen, own)):
        yield tuple(_in_pool(seen, found, pool))


def _told_only(config: Config, args: list[str]) -> Config:
    return replace(config, framework=replace(config.framework, args=args))


def _of_text(problem: Problem, config: Config) -> Iterator[Overrides]:
    meant = text.meant(problem.instead)
    if meant is not None:
        yield (_args([_spelt(word, *meant) for word in config.framework.args]),)
    if problem.instead.startswith("leave it out, and write "):
        left = tuple(_told(config, problem.what))
        yield from (
            (*left, *found)
            for found in text.named(problem.instead)
            if all(_known(config, change.key(item)) for item in found)
        )
    for found in text.named(problem.instead):
        if all(_known(config, change.key(item)) for item in found):
            yield found
    for flag, joint, value in text.flags(problem.instead):
        yield (_args(_with(config.framework.args, flag, joint, value)),)
    for words in text.left_out(problem.instead):
        found = tuple(item for word in words for item in _without(config, word.strip(), problem.what))
        if found:
            yield found


def _known(config: Config, path: str) -> bool:
    if path == "parallel" or path in change.GROUPS:
        return True
    try:
        change.found(config, path)
    except (KeyError, AttributeError):
        return path.startswith(("launch.environment.", "launch.secrets."))
    return True


def _in_pool(seen: Config, found: Overrides, pool: str) -> Iterator[str]:
    """The same of one pool: its degrees by name, its own arguments, what else it has of its own."""
    degrees = [item for item in found if change.key(item).partition(".")[0] == "parallel"]
    if degrees:
        try:
            changed = resolve(change.applied(seen, degrees, ()).parallel, seen.model.moe)
        except (CompilerError, KeyError):
            return
        yield f"workload.pools.{pool}.parallel={changed.name}"
    for item in found:
        path, _, value = item.partition("=")
        if path in _ELSEWHERE:
            yield f"workload.pools.{pool}.{_ELSEWHERE[path]}={value}"
        elif path.startswith("launch.environment.") and value != "null":
            yield f"workload.pools.{pool}.{path.removeprefix('launch.')}={value}"
        elif item not in degrees:
            yield item


def _args(args: list[str]) -> str:
    return f"framework.args={change.written(args)}"


def _spelt(word: str, right: str, wrong: str) -> str:
    name, equals, value = word.partition("=")
    return f"{right}{equals}{value}" if name == wrong else word


def _with(args: list[str], flag: str, joint: str, value: str) -> list[str]:
    """Arguments with an option in them; a plain value follows it as a word of its own, which needs no quotes."""
    own = flag.startswith("--json.")
    words = [f"{flag}{joint}{value}"] if own else [flag, *[value] * bool(value)]
    return [*_stripped(args, flag), *words]


def _stripped(args: list[str], flag: str) -> list[str]:
    """Arguments without an option, and without its value where that is a word of its own."""
    kept, skip = [], False
    for word in args:
        name, equals, _ = word.partition("=")
        same = name.replace("_", "-") == flag.replace("_", "-") or name.startswith(f"{flag}.")
        if same or (skip and not is_flag(word)):
            skip = same and not equals
            continue
        skip = False
        kept.append(word)
    return kept


def _less(args: list[str], words: Iterable[str]) -> list[str]:
    return reduce(_stripped, words, args)


def _without(config: Config, word: str, what: str) -> Iterator[str]:
    """An override that takes a setting, an option or a variable away; what `it` is stands in the problem."""
    word = re.sub(
        r" (of|where|at|alone|for) .*|--?\S+ \S+$", lambda found: found[0] if found[0][0] == "-" else "", word
    )
    if _IT.fullmatch(word):
        yield from _told(config, what)
        return
    name = word.split(" ")[0]
    args = _stripped(config.framework.args, name)
    if args != config.framework.args:
        yield _args(args)
        return
    for group in ("launch", "site"):
        if name in change.found(config, f"{group}.environment"):
            yield f"{group}.environment.{name}=null"
    try:
        usual = change.usual(config, name)
    except (KeyError, AttributeError):
        return
    if usual != change.found(config, name):
        yield f"{name}={change.written(usual)}"


def _told(config: Config, what: str) -> Iterator[str]:
    """What of a problem's words somebody has set."""
    words = re.findall(r"--[\w.-]+|[A-Za-z_][\w.]*", what)
    if COMMAND in words:  # the rest of the command is the user's work
        command = list(config.launch.command or [])
        left = _less(command, [word for word in words if word.startswith("--")])
        if left != command:
            yield f"{COMMAND}={change.written(left)}"
        return
    args = _less(config.framework.args, [word for word in words if word.startswith("--") or "_" in word])
    if args != config.framework.args:
        yield _args(args)
        return
    for word in dict.fromkeys(words):
        bare = re.sub(r"^(launch|site)\.environment\.", "", word)
        if "." in bare or bare.isupper():
            yield from _without(config, bare, "")
