"""Prefill and decode held against each other: KV caches go from ranks of the one pool to ranks of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compiler.checks import Check, Status, check
from compiler.frozen import dataclass
from compiler.specs.config import Config


@dataclass(frozen=True)
class Facing:
    """What a server is to those that it sends KV caches to, or takes them from: all that rules between pools may read.

    Servers that differ in other things are one to such rules. `windows`: whether layers have one, of all that there are;
    `by_head`: whether the way in which caches move cuts those of a window by heads; `options`: each by one name, with its value.
    """

    model: str
    mla: bool
    windows: frozenset[bool]
    tp: int
    pp: int
    cp: int
    release: str
    connector: str = ""
    by_head: bool = False
    options: tuple[tuple[str, str], ...] = ()


def facing(
    config: Config,
    release: str,
    given: Mapping[str, str],
    names: Sequence[str],
    connector: str = "",
    *,
    by_head: bool = False,
) -> Facing:
    """`given`: the options that the server is started with, of which rules ask for `names`."""
    model, degrees = config.model, config.degrees
    return Facing(
        model=model.name,
        mla=model.mla,
        windows=frozenset(window is not None for window in model.windows),
        tp=degrees.tp,
        pp=degrees.pp,
        cp=degrees.cp,
        release=release,
        connector=connector,
        by_head=by_head,
        options=tuple((name, given[name]) for name in names if name in given),
    )


def tensor_parallel(prefill: Facing, decode: Facing, source: str) -> Iterator[Check]:
    """A rank of the larger tp takes part of what one of the smaller has."""
    sizes = (prefill.tp, decode.tp)
    small, large = min(sizes), max(sizes)
    yield check(
        "pools-tp",
        holds=large % small == 0,
        observed=f"{large} % {small} = {large % small}",
        limit="0",
        message=f"decode has tp={sizes[1]} and prefill tp={sizes[0]}: {source} gives the KV cache of a rank to a whole number of others",
        fix=f"write parallel.tp={sizes[0]}",
    )


def heads(prefill: Facing, decode: Facing, source: str) -> Iterator[Check]:
    """Without MLA, transfers between servers of another tp are cut by heads."""
    sizes = (prefill.tp, decode.tp)
    if max(sizes) % min(sizes) == 0 and not prefill.mla:
        yield check(
            "pools-heads",
            holds=sizes[0] == sizes[1],
            observed=f"tp {sizes[0]} and {sizes[1]}",
            limit="the same tp",
            message=f"decode has tp={sizes[1]} and prefill tp={sizes[0]}: without MLA each transfer is cut by heads, and {source} says that "
            "the same tp is quicker",
            fix=f"write parallel.tp={sizes[0]} in workload.pools.decode where its ranks allow",
            otherwise=Status.WARN,
        )


def pipelines(prefill: Facing, decode: Facing, source: str, *, equal: bool) -> Iterator[Check]:
    """Stages of decode: one, or, where an engine takes `equal` ones, as many as prefill has."""
    sizes = (prefill.pp, decode.pp)
    holds = sizes[1] == 1 or (equal and sizes[0] == sizes[1])
    wanted = f"1 or prefill's {sizes[0]}" if equal else "1"
    ranks = decode.tp * sizes[1]
    same = f"parallel.pp={sizes[0]} parallel.tp={max(ranks // sizes[0], 1)} or " * (equal and ranks % sizes[0] == 0)
    yield check(
        "pools-pp",
        holds=holds,
        observed=sizes[1],
        limit=wanted,
        message=f"decode has pp={sizes[1]} and prefill pp={sizes[0]}: {source} wants pp of decode to be {wanted}",
        fix=f"write {same}parallel.pp=1 parallel.tp={ranks}",
    )


def context(decode: Facing, source: str) -> Iterator[Check]:
    """Who decodes keeps whole sequences."""
    cp = decode.cp
    yield check(
        "pools-cp",
        holds=cp == 1,
        observed=f"cp={cp}",
        limit="cp=1",
        message=f"decode has cp={cp}: {source} wants a decoding server without context parallelism",
        fix=f"write parallel.cp=1 parallel.tp={decode.tp * cp} or parallel.cp=1",
    )


def decode_context(prefill: Facing, option: str, size: int, source: str) -> Iterator[Check]:
    """A decode KV cache that is dealt out over ranks by tokens (DCP)."""
    if size > 1:
        yield check(
            "pools-dcp",
            holds=prefill.mla and prefill.cp == 1,
            observed=f"dcp={size}, prefill cp={prefill.cp}",
            limit="MLA, prefill cp=1",
            message=f"decode has {option} {size}: {source} wants MLA's cache for that, and prefill without context parallelism (cp={prefill.cp})",
            fix=f"leave {option} out",
        )


def alike(prefill: Facing, decode: Facing, names: Sequence[str], source: str) -> Iterator[Check]:
    """Options that say what a cache looks like, which both servers must read alike."""
    own, other = dict(prefill.options), dict(decode.options)
    for name in names:
        first, second = own.get(name, "its default"), other.get(name, "its default")
        if name in own or name in other:
            yield check(
                "pools-options",
                holds=first == second,
                observed=f"{name} {first} and {second}",
                limit="the same",
                message=f"{name} is {first} in prefill and {second} in decode: {source} wants both servers to have the same",
                fix=f"write {name} in framework.args, for both, and in no pool's args",
            )
