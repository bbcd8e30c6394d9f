"""Options that a key of the plan sets: what a user writes who set one in `framework.args`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from compiler.errors import Problem
from compiler.words import whole

PRECISIONS = {"bfloat16": "bf16", "bf16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32"}
"""Names of precisions in arguments, and ours."""


def problems(flags: Collection[str], keys: Mapping[str, str], values: Mapping[str, str]) -> Iterator[Problem]:
    """One problem for each of `flags` whose key is known, one for the rest together; `values` are what the user wrote."""
    for flag in flags:
        if flag in keys:
            yield problem(flag, keys[flag], said(keys[flag], values.get(flag, "")))
    rest = ", ".join(flag for flag in flags if flag not in keys)
    if rest:
        what = f"framework.args sets {rest}, and so does the plan"
        yield Problem(what, "leave it out, and change the degree, model or workload that it comes from")


def problem(flag: str, key: str, value: str) -> Problem:
    """`value` is the key's, empty where it is not to be had from the option's."""
    override = f"{key}={value}" if value else key
    return Problem(f"framework.args sets {flag}, and so does the plan", f"leave it out, and write {override}")


def said(key: str, value: str) -> str:
    """An option's value as its key takes it; empty where it takes none like it."""
    if key == "workload.precision":
        return PRECISIONS.get(value, "")
    return value if whole(value) is not None or re.fullmatch(r"[0-9]+\.[0-9]+", value) else ""
