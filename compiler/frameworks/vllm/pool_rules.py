"""What vLLM wants of prefill and decode together, whose KV caches NIXL moves (`kv_connector/v1/nixl`)."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks import transfers, versions
from compiler.frameworks.options import nested
from compiler.frameworks.vllm.arguments import KV_TRANSFER, given, transfers_by_nixl
from compiler.specs.config import Config

ALIKE = ("--block-size", "--kv-cache-dtype", "--dtype")
"""What the hash of a handshake is made of."""


def rules(prefill: Config, decode: Config) -> Iterator[Check]:
    number = versions.version(decode).number
    names = [_connector(config) for config in (prefill, decode)]
    yield check(
        "pools-connector",
        holds=names[0] == names[1],
        observed=" and ".join(names),
        limit="the same",
        message=f"decode has the connector {names[1]} and prefill {names[0]}: vLLM {number} moves KV caches between servers of the same",
        fix=f"write {KV_TRANSFER} in the args of both pools, or of neither",
    )
    if names != ["NixlConnector"] * 2:
        return
    source = f"vLLM {number} kv_connector/v1/nixl"
    yield from transfers.pipelines(prefill, decode, source, equal=False)
    yield from transfers.tensor_parallel(prefill, decode, source)
    yield from transfers.alike(given(prefill), given(decode), ALIKE, source)
    windows = {window is None for window in prefill.model.windows}
    yield check(
        "pools-hybrid-pp",
        holds=prefill.degrees.pp == 1 or len(windows) == 1,
        observed=f"pp={prefill.degrees.pp}",
        limit="pp=1",
        message=f"prefill has pp={prefill.degrees.pp}, and {prefill.model.name} layers with and without a window: {source} moves such caches of "
        "one stage alone",
        fix=f"write parallel.pp=1 parallel.tp={prefill.degrees.tp * prefill.degrees.pp}",
    )


def _connector(config: Config) -> str:
    return "NixlConnector" if transfers_by_nixl(config) else str(nested(given(config), KV_TRANSFER, "kv_connector"))
