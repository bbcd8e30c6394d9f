"""Read calibration files into frozen values; the cost model itself reads no file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from compiler.costs.calibration import Calibration, GpuCalibration, KernelCurve, LinkCurve
from compiler.costs.software import Engine, Software
from compiler.errors import ConfigError
from compiler.render.assets import folder
from compiler.specs.config import Config

FOLDER = folder("conf") / "calibration"

Table = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Level -> key -> constant: the shared ones as they are, the others as factors."""


@cache
def load(name: str) -> dict[str, Any]:
    """A file of `conf/calibration`, empty where there is none."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        return {}
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (it is the safe one)
    return found


@cache
def gpu(name: str) -> GpuCalibration | None:
    """Curves of a GPU; None where there is no such file."""
    found = load(name)
    if not found:
        return None
    return GpuCalibration(
        name=name,
        gemm={key: _curve(KernelCurve, value) for key, value in found.get("gemm", {}).items()},
        grouped={key: _curve(KernelCurve, value) for key, value in found.get("grouped", {}).items()},
        links={key: _curve(LinkCurve, value) for key, value in found.get("links", {}).items()},
    )


def _curve(kind: Any, values: dict[str, Any]) -> Any:
    """A curve from its constants; errors and rows in the file are for people."""
    known = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return kind(**{key: value for key, value in known.items() if key in kind.__dataclass_fields__})


def release_key(table: Table, family: str, release: str) -> str:
    """The release as it was measured, else the framework's latest one; empty where none of it was. A build that is named
    instead of numbered is no latest one.
    """
    known = [key for key in table.get("release", {}) if key.startswith(f"{family}/")]
    wanted = f"{family}/{release}"
    return wanted if wanted in known else max(known, key=_latest, default="")


def _latest(key: str) -> tuple[bool, list[tuple[int, str]]]:
    return key.partition("/")[2][:1].isdigit(), natural(key)


def natural(text: str) -> list[tuple[int, str]]:
    """Numbers in a text count as such."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.findall(r"\d+|\D+", text)]


def constants(table: Table, defaults: Mapping[str, float], keys: Mapping[str, str]) -> dict[str, float]:
    """The shared constants times the factors of each level's key; a key that was not measured changes nothing."""
    found = {**defaults, **table.get("shared", {}).get("", {})}
    for level, key in keys.items():
        for name, factor in table.get(level, {}).get(key, {}).items():
            found[name] *= factor
    return found


def software(framework: str, release: str, hardware: str, precision: str) -> Software:
    """A training framework's constants on a GPU."""
    table = load("training").get("constants", {})
    key = release_key(table, framework, release)
    keys = {"framework": framework, "release": key, "gpu": hardware, "precision": precision}
    return Software(**constants(table, vars(Software()), keys))


def engine(backend: str, release: str, hardware: str, precision: str) -> Engine:
    """A serving engine's constants on a GPU."""
    table = load("serving").get("constants", {})
    key = release_key(table, backend, release)
    keys = {"backend": backend, "release": key, "gpu": hardware, "precision": precision}
    return Engine(**constants(table, vars(Engine()), keys))


BACKENDS = {"tensorrt_llm": "trtllm"}
"""Frameworks that measurements know by another name."""


def of(config: Config) -> Calibration | None:
    """Everything measured that a plan uses; None where its hardware names no curves. Raises ConfigError for unknown ones."""
    wanted = config.hardware.calibration
    if wanted is None:
        return None
    curves = gpu(wanted)
    if curves is None or not curves.gemm:
        known = ", ".join(
            sorted(path.stem for path in FOLDER.glob("*.yaml") if (found := gpu(path.stem)) and found.gemm)
        )
        raise ConfigError.of(f"hardware.calibration={wanted} has no GEMM curves", f"write one of {known}, or null")
    name, version = BACKENDS.get(config.framework.name, config.framework.name), config.framework.version or ""
    keys = (name, version, config.hardware.name, config.workload.precision)
    train = config.workload.train
    file = load("training" if train else "serving")
    spreads = residuals(file.get("rows", {}), "moe" if config.model.moe else "dense")
    notes = tuple(unseen(file.get("constants", {}), config, name, version))
    if train:
        return Calibration(curves, software=software(*keys), spreads=spreads, unseen=notes)
    return Calibration(curves, engine=engine(*keys), spreads=spreads, unseen=notes)


def residuals(rows: Mapping[str, Any], kind: str) -> dict[str, float]:
    """The spread of a step's, a prompt's and a token's time: the mean over the sources of its family."""
    families = {"step": kind, "ttft": "ttft", "tpot": "tpot"}
    found = {
        name: [float(value["spread"]) for key, value in rows.items() if key.startswith(family)]
        for name, family in families.items()
    }
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def unseen(table: Table, config: Config, name: str, version: str) -> Iterator[str]:
    """What selects constants and was not measured."""
    level = "framework" if config.workload.train else "backend"
    if config.hardware.name not in table.get("gpu", {}):
        yield f"hardware {config.hardware.name}: the constants of all GPUs together"
    if config.workload.precision not in table.get("precision", {}):
        yield f"precision {config.workload.precision}: the constants of all precisions together"
    if name not in table.get(level, {}):
        yield f"framework {name}: the constants of all frameworks together"
    elif f"{name}/{version}" not in table.get("release", {}):
        latest = release_key(table, name, version)
        yield f"release {version or 'not given'} of {name}: the constants of its latest, {latest.partition('/')[2]}"
