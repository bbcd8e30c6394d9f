"""What SGLang makes of the arguments of plans: starts its resolver, one process for all plans of a kind of GPU."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from compiler.errors import Problem
from compiler.frameworks.devices import Device, device
from compiler.frameworks.emission import Argument
from compiler.frameworks.lifted import Source
from compiler.frameworks.options import without
from compiler.frameworks.proof import NotInstalledError
from compiler.frameworks.sglang.checkpoint import config_json
from compiler.frameworks.sglang.emit import emission
from compiler.frozen import dataclass
from compiler.world import World

NEEDED = ("torch", "transformers", "msgspec")
"""Packages that the resolver really runs."""

FILES = (
    "--ssl-certfile",
    "--ssl-keyfile",
    "--ssl-ca-certs",
    "--config",
    "--chat-template",
    "--lora-paths",
    "--model",
    "--model-path",
)
"""Options that name files of the cluster, which are not here."""

UNREAD = r"sglang/(multimodal_gen|test)/|.*\.so$"

LONGEST_S = 600


@dataclass(frozen=True)
class Case:
    """Arguments and variables of one server, the GPU that it runs on, and its checkpoint's `config.json`."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    device: Device
    memory_bytes: float
    gpus: int
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """Where it stops, or: the fields that arguments set, every field as it is resolved, what set it, and the model as it is read."""

    stop: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    resolved: Mapping[str, Any] = field(default_factory=dict)
    declared: Sequence[tuple[str, Mapping[str, Any]]] = ()
    model: Mapping[str, Any] = field(default_factory=dict)

    def by(self, name: str) -> str:
        """Which of its functions set a field last."""
        return next((who for who, fields in reversed(self.declared) if name in fields), "its defaults")


def case(world: World, config: Mapping[str, Any] | None = None) -> Case:
    """A plan's server on its first node; `config` is its checkpoint's own `config.json`, where there is one to read."""
    made, hardware = emission(world), world.config.hardware
    written = [_plain(argument) for argument in made.arguments]
    variables = {**made.environment, **world.config.site.environment, **world.config.launch.environment}
    return Case(
        tuple(without(written, *FILES)),
        {name: _plain(value) for name, value in variables.items()},
        device(hardware.gpu),
        hardware.gpu.memory_bytes,
        hardware.node.gpus,
        config_json(world.config.model, world.config.workload.precision) if config is None else config,
    )


def _plain(argument: Argument) -> str:
    """As the first node completes it."""
    if isinstance(argument, str):
        return argument
    values = {"MASTER_ADDR": "127.0.0.1", "MASTER_HOST": "127.0.0.1", "MASTER_PORT": 29500, "NODE_RANK": 0, "START": 0}
    return argument.text.format(**values, PORT=argument.port, ADDRESS="127.0.0.1", RANKPLAN_PLAN="/plan")


def resolve(source: Source, cases: Sequence[Case]) -> list[Resolved]:
    """One answer a case. Raises NotInstalledError where a package that the resolver runs is missing, or it does not start."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        what = f"{' and '.join(missing)} {are} not installed, and SGLang's resolver runs on {'it' if len(missing) == 1 else 'them'}"
        raise NotInstalledError([Problem(what, f"pip install {' '.join(missing)}")])
    order = sorted(range(len(cases)), key=lambda i: _host(cases[i]))
    found: dict[int, Resolved] = {}
    with _unpacked(source) as root, tempfile.TemporaryDirectory() as folder:
        for host, group in groupby(order, key=lambda i: _host(cases[i])):
            places = list(group)
            found |= zip(places, _process(root, folder, json.loads(host), [cases[i] for i in places]), strict=True)
    return [found[i] for i in range(len(cases))]


def _host(item: Case) -> str:
    return json.dumps(
        {
            "name": item.device.name,
            "capability": item.device.capability,
            "arch": item.device.arch,
            "memory_bytes": item.memory_bytes,
            "count": item.gpus,
        }
    )


@contextmanager
def _unpacked(source: Source) -> Iterator[str]:
    """A folder with the package, for Python reads modules slowly out of an archive; without parts that no resolution reads."""
    if source.root.is_dir():
        yield str(source.root)
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(source.root) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if read(name)])
        yield folder


def read(name: str) -> bool:
    """Whether a resolution may read a file of the wheel."""
    return re.match(UNREAD, name) is None


def _process(root: str, folder: str, host: Mapping[str, Any], cases: Sequence[Case]) -> Iterator[Resolved]:
    request = {"root": root, "device": host, "cases": [_request(folder, item) for item in cases]}
    start = f"import sys; sys.path.append({str(Path(__file__).parents[4])!r}); from {__package__} import child; child.main()"
    kept = {name: os.environ[name] for name in ("PATH", "VIRTUAL_ENV", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-P", "-W", "ignore", "-c", start],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=kept,
        cwd=folder,
        timeout=LONGEST_S,
        check=False,
    )
    lines = done.stdout.splitlines()
    if len(lines) != len(cases):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotInstalledError(
            [
                Problem(
                    f"SGLang's resolver does not run here: {last}",
                    "install what is missing, or prove with the version that the rules are for",
                )
            ]
        )
    return (Resolved(**json.loads(line)) for line in lines)


def _request(folder: str, item: Case) -> dict[str, Any]:
    """The case with its checkpoint written down."""
    text = json.dumps(item.config, sort_keys=True)
    place = Path(folder) / f"model-{abs(hash(text)):x}"
    place.mkdir(exist_ok=True)
    (place / "config.json").write_text(text, encoding="utf-8")
    return {"arguments": [*item.arguments, f"--model-path={place}"], "environment": item.environment}
