"""What SGLang wants of prefill and decode together (`disaggregation/common/conn.py`, when a server of decode meets one of prefill)."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks import transfers, versions
from compiler.frameworks.options import number
from compiler.frameworks.sglang.arguments import given
from compiler.frameworks.transfers import Facing
from compiler.specs.config import Config

MOVER, SHARDED, DCP = "--disaggregation-transfer-backend", "--enable-kv-cache-sharding", "--dcp-size"
ALIKE = ("--page-size", "--kv-cache-dtype", MOVER)


def facing(config: Config) -> Facing:
    """The way that caches move stands for the connector."""
    version, args = versions.version(config), given(config)
    mover = args.get(MOVER, "mooncake")
    able = mover in version.facts["windows_by_head"]
    return transfers.facing(config, version.number, args, (*ALIKE, SHARDED, DCP), mover, by_head=able)


def rules(prefill: Facing, decode: Facing) -> Iterator[Check]:
    source = f"SGLang {decode.release} disaggregation/common/conn.py"
    yield from transfers.pipelines(prefill, decode, source, equal=True)
    yield from transfers.context(decode, source)
    yield from transfers.tensor_parallel(prefill, decode, source)
    yield from transfers.heads(prefill, decode, source)
    yield from _windows(prefill, decode, source)
    yield from _sharded(prefill, decode, source)
    yield from transfers.decode_context(prefill, DCP, number(dict(decode.options), DCP, 1), source)
    yield from transfers.alike(prefill, decode, ALIKE, source)


def _windows(prefill: Facing, decode: Facing, source: str) -> Iterator[Check]:
    """Caches of layers with a window are states of their own, which few ways of moving cut by heads (mooncake, nixl `conn.py`)."""
    sizes = (prefill.tp, decode.tp)
    if prefill.mla or True not in prefill.windows:
        return
    able = prefill.by_head and prefill.pp == 1
    yield check(
        "pools-windows",
        holds=sizes[0] == sizes[1] or able,
        observed=f"tp {sizes[0]} and {sizes[1]}, prefill pp={prefill.pp}",
        limit="the same tp",
        message=f"decode has tp={sizes[1]} and prefill tp={sizes[0]}, pp={prefill.pp}: {source} moves caches of layers with a window by "
        f"{prefill.connector} between servers of one tp alone",
        fix=f"write parallel.tp={sizes[0]}",
    )


def _sharded(prefill: Facing, decode: Facing, source: str) -> Iterator[Check]:
    """A latent cache that prefill deals out over its tp ranks (`--enable-kv-cache-sharding`)."""
    sizes = (prefill.tp, decode.tp)
    if SHARDED in dict(prefill.options) and prefill.mla and prefill.cp == 1:
        yield check(
            "pools-sharding",
            holds=sizes[0] == sizes[1],
            observed=f"tp {sizes[0]} and {sizes[1]}",
            limit="the same tp",
            message=f"decode has tp={sizes[1]} and prefill tp={sizes[0]}: {source} wants the same with {SHARDED}",
            fix=f"leave {SHARDED} out",
        )
