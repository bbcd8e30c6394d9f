"""What SGLang wants of prefill and decode together (`disaggregation/common/conn.py`, when a server of decode meets one of prefill)."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks import transfers, versions
from compiler.frameworks.options import number
from compiler.frameworks.sglang.arguments import given
from compiler.specs.config import Config

ALIKE = ("--page-size", "--kv-cache-dtype", "--disaggregation-transfer-backend")


def rules(prefill: Config, decode: Config) -> Iterator[Check]:
    source = f"SGLang {versions.version(decode).number} disaggregation/common/conn.py"
    yield from transfers.pipelines(prefill, decode, source, equal=True)
    yield from transfers.context(decode, source)
    yield from transfers.tensor_parallel(prefill, decode, source)
    yield from transfers.heads(prefill, decode, source)
    yield from _windows(prefill, decode, source)
    args = given(decode)
    yield from _sharded(prefill, decode, source)
    yield from transfers.decode_context(prefill, "--dcp-size", number(args, "--dcp-size", 1), source)
    yield from transfers.alike(given(prefill), args, ALIKE, source)


def _windows(prefill: Config, decode: Config, source: str) -> Iterator[Check]:
    """Caches of layers with a window are states of their own, which few ways of moving cut by heads (mooncake, nixl `conn.py`)."""
    mover = given(prefill).get("--disaggregation-transfer-backend", "mooncake")
    sizes, model = (prefill.degrees.tp, decode.degrees.tp), prefill.model
    if model.mla or not any(window is not None for window in model.windows):
        return
    able = mover in versions.version(decode).facts["windows_by_head"] and prefill.degrees.pp == 1
    yield check(
        "pools-windows",
        holds=sizes[0] == sizes[1] or able,
        observed=f"tp {sizes[0]} and {sizes[1]}, prefill pp={prefill.degrees.pp}",
        limit="the same tp",
        message=f"decode has tp={sizes[1]} and prefill tp={sizes[0]}, pp={prefill.degrees.pp}: {source} moves caches of layers with a window by "
        f"{mover} between servers of one tp alone",
        fix=f"write parallel.tp={sizes[0]}",
    )


def _sharded(prefill: Config, decode: Config, source: str) -> Iterator[Check]:
    """A latent cache that prefill deals out over its tp ranks (`--enable-kv-cache-sharding`)."""
    sizes = (prefill.degrees.tp, decode.degrees.tp)
    if "--enable-kv-cache-sharding" in given(prefill) and prefill.model.mla and prefill.degrees.cp == 1:
        yield check(
            "pools-sharding",
            holds=sizes[0] == sizes[1],
            observed=f"tp {sizes[0]} and {sizes[1]}",
            limit="the same tp",
            message=f"decode has tp={sizes[1]} and prefill tp={sizes[0]}: {source} wants the same with --enable-kv-cache-sharding",
            fix="leave --enable-kv-cache-sharding out",
        )
