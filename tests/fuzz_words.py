"""Odd and near values: what the fuzzer writes in the place of a number, a word, a key."""

from __future__ import annotations

import random
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from compiler.specs.config import Config

NUMBERS = [
    *"0 1 2 3 7 8 16 64 1000 1024 100000 1000000 1000000000 1e9 1e12 1e18 1e21 1e100 1e308 -1 -8 -0.0 0.5 1.5 0.1 1e-9 1e-300 "
    "nan inf -inf 007 0x10 1_000 9999999999999999999999 ² ١٢".split(),
    "9" * 400,
    "9" * 5000,
]
TEXTS = (
    "",
    "a",
    "null",
    "true",
    "no",
    "???",
    "~",
    "-",
    ".",
    "..",
    "/",
    "/dev/zero",
    "/dev/null",
    "a=b",
    "a b",
    " a",
    "it's",
    '"a',
    "$(id)",
    "`id`",
    "${model}",
    "${model.name}",
    "${nope}",
    "${oc.env:HOME}",
    "${oc.env:RANKPLAN_NOPE}",
    "${",
    "$}",
    "\\",
    "{",
    "}",
    "[",
    "[[]]",
    "[[slurm]]",
    "[]",
    "{}",
    "{a:1}",
    "{a:{b:[1,{c:2}]}}",
    "[1,2",
    "a,b",
    "1,2",
    "range(1,4)",
    "range(1,1000000000)",
    "choice(a,b)",
    "glob(*)",
    "interval(0,1)",
    "sort(3,1)",
    "shuffle(1,2)",
    "int(x)",
    "@",
    "#",
    ";",
    "é",
    "日本",
    "\U0001f600",
    "\u202eevil",
    "\x1b[31mred\x07",
    "a\rb",
    "a\nb",
    "a\tb",
    "\x7f",
    "\x9b",
    "\udcff",
    "x" * 300,
    "x" * 20_000,
    "x" * 120_000,
    "[" * 200 + "]" * 200,
    "[" * 5000,
    ",".join("a" * 3000),
    "[" + ",".join("1" * 3000) + "]",
)
STARTS = (
    ("hardware=generic_64gb", "hardware.nodes=2", "parallel=tp2_ep2_dp4"),
    ("model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=2", "parallel=tp8_dp2"),
    ("model=mixtral_8x7b", "hardware=h100_80gb", "hardware.nodes=2", "parallel=ep8_tp2", "workload=train"),
    ("model=qwen3_30b_a3b", "hardware=h200", "hardware.nodes=1", "parallel=tp4_dp2", "framework=vllm"),
    ("model=qwen3_30b_a3b", "hardware=h200", "hardware.nodes=1", "parallel=tp4_ep2_dp1", "framework=sglang"),
    (
        "model=llama3_1_8b",
        "hardware=h100_80gb",
        "hardware.nodes=1",
        "parallel=tp2_dp4",
        "framework=megatron",
        "workload=train",
    ),
    ("parallel=ep16_tp4_pp4_dp4",),
)
SCHEDULERS = (
    "[]",
    "[]",
    "[slurm]",
    "local",
    "[slurm,kubernetes_job]",
    "jobset",
    "lws",
    "trainjob",
    "volcano",
    "mpijob",
)
GROUPS = "hardware model parallel workload framework scheduler site launch expect".split()
ODD_KEYS = (
    "",
    "=",
    "a",
    "hardware.",
    ".hardware",
    "hardware..nodes",
    "hardware.nodes.x",
    "hardware.gpu",
    "hardware@model",
    "hardware@",
    "model@_global_",
    "+hardware",
    "++hardware.nodes",
    "~hardware",
    "~hardware.nodes",
    "~nope",
    "+nope.a",
    "++nope",
    "hydra.run.dir",
    "hydra.verbose",
    "hydra.searchpath",
    "hydra.sweep.dir",
    "hydra.output_subdir",
    "hydra.job.chdir",
    "hydra/launcher",
    "hydra/job_logging",
    "hydra",
    "defaults",
    "rankplan_schema",
    "name",
    "out",
    "sweep",
    "expect.claims",
    "workload.pools",
    "workload.pools.prefill",
    "launch.environment.A",
    "launch.secrets.A",
    "site.slurm.directives.comment",
    "site.kubernetes.node_selector.a",
    "scheduler.slurm.partition",
    "scheduler.kubernetes_job.namespace",
    "expect.claims.0.id",
    "parallel.stages[0]",
    "'model'",
    "módel",
    "model name",
    "model.name\x1b",
    "x" * 3000,
    ".".join("a" * 400),
)
"""Values and keys that have been trouble somewhere."""


Made = tuple[str, list[str], dict[str, bytes]]


def leaves(spec: Any = Config, path: str = "") -> Iterator[tuple[str, str]]:
    """Every dotted key of the schema and its type, in order."""
    hints = typing.get_type_hints(spec)
    for item in fields(spec):
        key = f"{path}{item.name}"
        yield key, str(hints[item.name])
        if is_dataclass(hints[item.name]):
            yield from leaves(hints[item.name], f"{key}.")


TYPES = dict(leaves())
KEYS = tuple(TYPES)


def start(rng: random.Random) -> list[str]:
    """A plan that compiles."""
    return [*rng.choice(STARTS), f"scheduler={rng.choice(SCHEDULERS)}"]


def value(rng: random.Random) -> str:
    return rng.choice(NUMBERS if rng.random() < 0.5 else TEXTS)


def near(rng: random.Random, name: str) -> str:
    """A value of a key's own type, so that it is refused by more than its type, or not at all."""
    kind = TYPES.get(name, "")
    if "bool" in kind:
        return rng.choice(("true", "false"))
    if "list" in kind:
        return rng.choice(("[]", "[1,2]", "[a]", "['a b']", "[4096]", "['\x1b[31m']", "['\u202ea,b']"))
    if "int" in kind:
        return rng.choice("1 2 3 4 5 7 8 16 64 100 1000 4096 100000 1000000000".split())
    if "float" in kind:
        return rng.choice("0.001 0.1 0.5 1 2 1000 1e6 1e9 80e9 3e12 1e15 1e18".split())
    return rng.choice([text for text in TEXTS if len(text) < 400])


def odd(rng: random.Random) -> str:
    """An override of any key."""
    name = key(rng)
    return f"{name}={near(rng, name) if rng.random() < 0.6 else value(rng)}"


def key(rng: random.Random) -> str:
    return rng.choice((*GROUPS, *ODD_KEYS) if rng.random() < 0.3 else KEYS)
