"""What SGLang wants of prefill and decode together (`disaggregation/common/conn.py`, when a server of decode meets one of prefill)."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check
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
    args = given(decode)
    yield from transfers.decode_context(prefill, "--dcp-size", number(args, "--dcp-size", 1), source)
    yield from transfers.alike(given(prefill), args, ALIKE, source)
