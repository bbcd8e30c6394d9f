"""Requests a second of both pools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.report.told import told
from compiler.words import number

REPORT, CONSOLE = (110, None)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if not plan.alone:
        said = "Requests that all instances of a pool do in a second, less what uneven arrivals cost. The slower pool sets the pace."
        unjudged = ["Claims about a single plan are not judged here."] * bool(plan.expectations)
        yield Section("Rates", (said, _rates(contents), *unjudged))


def _rates(contents: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            str(rate["sequence_length"]),
            str(rate["output_length"]),
            told(contents, f"rates.{index}.prefill_requests_per_s", number),
            told(contents, f"rates.{index}.decode_requests_per_s", number),
            rate["limited_by"],
            told(contents, f"rates.{index}.output_tokens_per_s_per_gpu", number),
            f"{rate['matched_prefill_instances']} : {rate['matched_decode_instances']}",
        )
        for index, rate in enumerate(contents["rates"])
    )
    head = ("prompt", "answer", "prefill requests/s", "decode requests/s", "limited by", "output tokens/s/GPU")
    return Table((*head, "prefill : decode instances that match"), rows)
