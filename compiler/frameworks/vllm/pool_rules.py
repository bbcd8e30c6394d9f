"""What vLLM wants of prefill and decode together, whose KV caches NIXL moves (`kv_connector/v1/nixl`)."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks import transfers, versions
from compiler.frameworks.options import nested
from compiler.frameworks.transfers import Facing
from compiler.frameworks.vllm.arguments import KV_TRANSFER, given, transfers_by_nixl
from compiler.specs.config import Config

ALIKE = ("--block-size", "--kv-cache-dtype", "--dtype")
"""What the hash of a handshake is made of."""


def facing(config: Config) -> Facing:
    args = given(config)
    nixl = transfers_by_nixl(config)
    connector = "NixlConnector" if nixl else str(nested(args, KV_TRANSFER, "kv_connector"))
    return transfers.facing(config, versions.version(config).number, args, ALIKE, connector)


def rules(prefill: Facing, decode: Facing) -> Iterator[Check]:
    number, names = decode.release, [prefill.connector, decode.connector]
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
    yield from transfers.alike(prefill, decode, ALIKE, source)
    yield check(
        "pools-hybrid-pp",
        holds=prefill.pp == 1 or len(prefill.windows) == 1,
        observed=f"pp={prefill.pp}",
        limit="pp=1",
        message=f"prefill has pp={prefill.pp}, and {prefill.model} layers with and without a window: {source} moves such caches of "
        "one stage alone",
        fix=f"write parallel.pp=1 parallel.tp={prefill.tp * prefill.pp}",
    )
