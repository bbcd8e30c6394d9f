"""What vLLM's own resolver makes of a plan's arguments (`oracle.py`), beside what the plan rests on."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compiler.errors import Problem
from compiler.frameworks import family, hf_file, resolved
from compiler.frameworks.asked import asked, sequences, step_tokens
from compiler.frameworks.devices import device
from compiler.frameworks.emission import Computed
from compiler.frameworks.lifted import Source
from compiler.frameworks.options import nested
from compiler.frameworks.proof import Finding, NotInstalledError, compared, unprovable
from compiler.frameworks.quantized import SAME
from compiler.frameworks.resolved import Least, OneOf, Resolved
from compiler.frameworks.serving import DTYPES, context_length
from compiler.frameworks.vllm import budget, cache
from compiler.frameworks.vllm.arguments import (
    KV_TRANSFER,
    LOW_LATENCY,
    decode_context,
    expert_parallel,
    given,
    graph_batch,
    redundant,
    transfers_by_nixl,
)
from compiler.frameworks.vllm.emit import emission
from compiler.words import finite
from compiler.world import World

NEEDS = {"torch": "torch==2.13.0", "transformers": "transformers==5.20.2", "pydantic": "pydantic"}
"""Packages that its resolver really calls, and how to install them; all else is stood in for."""


def planned(world: World) -> dict[str, Any]:
    """What the plan rests on, by the names of `oracle.READ`."""
    config, degrees, model = world.config, world.degrees, world.config.model
    wanted, args = asked(config), given(config)
    wide = model.wide(config.workload.precision)
    decode = config.workload.role == "decode"
    whole = Least(step_tokens(config) if decode else config.workload.longest)
    return {
        "tp": degrees.tp,
        "pp": degrees.pp,
        "cp": degrees.cp,
        "dcp": decode_context(config),
        "adp": degrees.adp,
        "expert_parallel": expert_parallel(config),
        "eplb": "--enable-eplb" in args,
        "redundant": redundant(config),
        "overlap": "--enable-dbo" in args,
        "dispatcher": LOW_LATENCY if wanted.low_latency else args.get("--all2all-backend", "allgather_reducescatter"),
        "dtype": DTYPES[wide],
        "quantization": _methods(world),
        "length": context_length(config),
        "sequences": sequences(config),
        "chunk": wanted.chunk or (budget.tokens(config, args) if wanted.low_latency else whole),
        "drafts": wanted.drafts,
        "token_bytes": _token_bytes(world),
        "index_bytes": cache.cached(config).index,
        "graph_tokens": Least(min(sequences(config), graph_batch(config)) * (1 + wanted.drafts)),
        "memory_share": _share(args.get("--gpu-memory-utilization", "0.92")),
        "connector": "NixlConnector" if transfers_by_nixl(config) else nested(args, KV_TRANSFER, "kv_connector"),
    }


def _share(text: str) -> float | str:
    """What is no number stays text, for vLLM to refuse."""
    found = finite(text)
    return text if found is None else found


def _methods(world: World) -> OneOf:
    """Names of the checkpoint's quantisation, or of that which the server makes."""
    model, asked_for = world.config.model, world.config.workload.precision
    method = model.quantization.method if model.keeps_quantization(asked_for) else None
    method = (
        method
        or given(world.config).get("--quantization")
        or ("fp8" if asked_for == "fp8" and not model.stored else None)
    )
    same = {name for names in SAME if method in names for name in names}
    return OneOf(frozenset({method, *same, *({"gpt_oss_mxfp4"} if method == "mxfp4" else ())}))


def _token_bytes(world: World) -> float:
    """Bytes that a rank's layer caches of a token, its indexer's apart."""
    model, tp, own = world.config.model, world.degrees.tp, cache.cached(world.config)
    element = own.element or (4.0 if model.wide(world.config.workload.precision) == "fp32" else 2.0)
    if model.mla:
        return own.row or element * ((model.kv_lora_rank or 0) + (model.qk_rope_head_dim or 0))
    return element * 2 * -(-model.kv_heads // tp) * model.head_size


def findings(world: World, source: Source) -> Iterator[Finding]:
    """Of the first node, and whether another one starts too. Raises NotInstalledError."""
    if why := family.unknown(world.config.model):
        yield unprovable("vLLM", why)
        return
    several = emission(world).others is not None
    first, *others = ask([(world, node) for node in range(1 + several)], source)
    yield from resolved.findings(planned(world), first)
    for other in others:
        yield compared("arguments of the other nodes", "accepted", other.stopped or "accepted")


def ask(servers: Sequence[tuple[World, int]], source: Source) -> list[Resolved]:
    """What the server on a node of each plan resolves. Raises NotInstalledError where it cannot run."""
    return resolve([case(world, node) for world, node in servers], source)


def resolve(cases: Sequence[Mapping[str, Any]], source: Source) -> list[Resolved]:
    """The same of cases, all in one process."""
    missing = [how for name, how in NEEDS.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise NotInstalledError(
            [Problem("vLLM's resolver needs more than its source", f"pip install {' '.join(missing)}")]
        )
    with _unpacked(source) as root, tempfile.TemporaryDirectory() as scratch:
        question = {"root": str(root), "scratch": scratch, "extensions": source.extensions(), "cases": list(cases)}
        answers = json.loads(_answered(json.dumps(question)))
    return [Resolved(item.get("values", {}), item.get("stopped", ""), tuple(item["said"])) for item in answers]


def case(world: World, node: int = 0) -> dict[str, Any]:
    """What a server is started with on a node, as the oracle takes it."""
    config, made = world.config, emission(world)
    words = [_filled(argument, node) for argument in (made.others or () if node else made.arguments)]
    variables = {**made.environment, **config.site.environment, **config.launch.environment}
    return {
        "arguments": words,
        "environment": {name: _filled(value, node) for name, value in variables.items()},
        "model": hf_file.written(config.model, str(config.workload.precision), context_length(config)),
        "gpu": gpu(world),
    }


def _filled(argument: Any, node: int) -> str:
    """An argument, or a variable's value, as the starter completes it on a node."""
    if not isinstance(argument, Computed):
        return str(argument)
    numbers = {"NODE_RANK": node, "START": node * argument.times, "PORT": argument.port, "MASTER_PORT": 29500}
    own = dict.fromkeys(("MASTER_ADDR", "MASTER_HOST", "ADDRESS"), "127.0.0.1")
    return argument.text.format(**numbers, **own, RANKPLAN_PLAN="/plan")


def gpu(world: World) -> dict[str, Any]:
    """What NVML would say of a node's GPUs; AMD's are taken for Hopper's, whose platform is not run here."""
    own = world.config.hardware.gpu
    kind = device(own)
    major, minor = (9, 0) if kind.amd else kind.capability
    memory = int(own.memory_bytes)
    properties = {
        "name": own.name,
        "major": major,
        "minor": minor,
        "total_memory": memory,
        "multi_processor_count": 132,
    }
    return {
        "name": own.name,
        "capability": [major, minor],
        "memory_bytes": memory,
        "count": world.config.hardware.node.gpus,
        "properties": {**properties, "is_integrated": False},
    }


def _answered(question: str) -> str:
    """What the oracle prints."""
    home = str(Path(__file__).parents[3])
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "compiler.frameworks.vllm.oracle"],
        input=question,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"},
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2][:200]
        raise NotInstalledError(
            [Problem(f"vLLM's resolver cannot be asked: {last}", f"pip install {' '.join(NEEDS.values())}")]
        )
    return done.stdout


@contextmanager
def _unpacked(source: Source) -> Iterator[Path]:
    """The folder that holds the package's Python files."""
    if source.root.is_dir():
        yield source.root
        return
    with tempfile.TemporaryDirectory(prefix="rankplan-vllm-") as folder, zipfile.ZipFile(source.root) as wheel:
        wanted = [name for name in wheel.namelist() if name.endswith((".py", "METADATA", ".json"))]
        wheel.extractall(folder, wanted)
        yield Path(folder)
