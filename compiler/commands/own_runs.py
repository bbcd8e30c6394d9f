"""A CSV of a site's own runs (`plan` and what was measured) -> how far they shift the constants of their framework and kind of model."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from compiler.commands import edits
from compiler.costs.own import Own, believed
from compiler.costs.total import cost
from compiler.errors import ConfigError, short
from compiler.frameworks.lay_out import lay_out
from compiler.frozen import dataclass
from compiler.inputs import table
from compiler.specs.config import Config
from compiler.specs.hardware import Hardware
from compiler.speed import calibrated, site
from compiler.speed.fit.written import digest, figures
from compiler.speed.site import PART

PLAN = "plan"
MEASURED = {"step_time_s": "step", "tpot_s": "decode", "ttft_s": "prefill"}
"""Columns, and the factor that each of them shifts."""

ROUNDS = 40
SHORTEST_S, LONGEST_S = 1e-6, 1e6
FARTHEST = 5.0
"""Times as long or short as projected, from which on a run is another plan's, or in another unit."""


@dataclass(frozen=True)
class Run:
    """A plan, and what was measured of it, by factor; `text` is the row."""

    where: str
    config: Config
    seconds: Mapping[str, float]
    text: str

    @property
    def group(self) -> tuple[str, str]:
        return self.config.framework.name, site.kind(self.config)


@dataclass(frozen=True)
class Shift:
    """What a site's runs of a group say of one time: measured over projected, its factor, and how many they are."""

    group: tuple[str, str]
    factor: str
    over: float
    shifted: float
    runs: int

    def to_dict(self) -> dict[str, Any]:
        framework, kind = self.group
        return {
            "framework": framework,
            "kind": kind,
            "constants": self.factor,
            "measured_over_projected": self.over,
            "factor": self.shifted,
            "rows": self.runs,
        }

    @property
    def text(self) -> str:
        name = next(column for column, factor in MEASURED.items() if factor == self.factor)
        return f"{'/'.join(self.group)} {name}, {self.over:.3f} of what is projected over {self.runs} run{'s' * (self.runs > 1)}: constants times {self.shifted:.3f}"


def is_own(what: str, text: str) -> bool:
    """Whether a CSV is one of runs. Raises ConfigError for what is no CSV."""
    return PLAN in table.read(what, text, [])[0]


def shifts(path: Path, text: str, hardware: Hardware, content: dict[str, Any]) -> list[Shift]:
    """Add to a calibration file's `content` what the runs say, in the place of what was known of their groups. Raises ConfigError."""
    if not content["gemm"]:
        raise ConfigError.of(
            f"{path}: hardware={hardware.name} has no curves whose constants runs could shift",
            "give GEMM times beside it, a CSV m,n,k,dtype,seconds",
        )
    found = list(_runs(path, text, hardware))
    kept = content.setdefault(PART, {})
    for framework, kind in {run.group for run in found}:
        kept.get(framework, {}).pop(kind, None)
    curves = replace(hardware, calibration=yaml.safe_dump(content, sort_keys=False))
    told = list[Shift]()
    for group in dict.fromkeys(run.group for run in found):
        own = [replace(run, config=_on(run.config, curves)) for run in found if run.group == group]
        each = _fitted(own)
        told += [Shift(group, *one) for one in each]
        factors = {factor: figures(shifted) for factor, _, shifted, _ in each}
        counts = {f"{factor}_runs": count for factor, *_, count in each}
        rows = {"file": path.name, **digest([run.text for run in own])}
        kept.setdefault(group[0], {})[group[1]] = {**factors, **counts, "rows": rows}
    return told


def _on(config: Config, hardware: Hardware) -> Config:
    return replace(config, hardware=replace(config.hardware, calibration=hardware.calibration))


def _runs(path: Path, text: str, hardware: Hardware) -> Iterator[Run]:
    columns, rows = table.read(str(path), text, [PLAN])
    if twice := [name for name in MEASURED if columns.count(name) > 1]:
        raise ConfigError.of(f"{path} has the column {', '.join(twice)} twice", "write each column once")
    if not rows or not set(columns) & set(MEASURED):
        raise ConfigError.of(
            f"{path} measures nothing", f"write a row a run under the header {PLAN} and some of {','.join(MEASURED)}"
        )
    for line, row in rows:
        where = f"{path} line {line}"
        config = _config(where, path.parent / row[PLAN], hardware)
        said = [name for name in MEASURED if row.get(name, "").strip()]
        wanted = ["step_time_s"] if config.workload.train else ["ttft_s", "tpot_s"]
        if not said or not {*said} <= {*wanted}:
            does = "trains" if config.workload.train else "serves"
            raise ConfigError.of(
                f"{where} has {', '.join(said) or 'no time'} of a plan that {does}",
                f"write {' or '.join(wanted)} alone",
            )
        yield Run(
            where, config, {MEASURED[name]: _seconds(where, name, row[name]) for name in said}, ",".join(row.values())
        )


def _config(where: str, folder: Path, hardware: Hardware) -> Config:
    if not os.path.isfile(folder / edits.CONFIG):  # noqa: PTH113 - Path.is_file raises for a name too long
        raise ConfigError.of(
            f"{where}: {short(folder)} is no plan folder", "name one as it is seen from the CSV's own folder"
        )
    plan = edits.compiled(folder)
    if len(plan.parts) > 1:
        raise ConfigError.of(f"{where}: {short(folder)} holds two pools", "name a plan of one server")
    found: Config = plan.config
    if found.hardware.gpu != hardware.gpu:
        raise ConfigError.of(
            f"{where}: the plan runs on {found.hardware.gpu.name}, and --hardware is {hardware.name}",
            "write a file for each hardware",
        )
    return found


def _seconds(where: str, name: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not SHORTEST_S <= found <= LONGEST_S:
        raise ConfigError.of(f"{where} has {name}={short(text)}, which is no time", "write seconds, above 0")
    return found


def _fitted(runs: Sequence[Run]) -> list[tuple[str, float, float, int]]:
    """Factor, measured over projected, what the constants are multiplied by, and runs: by turns until the projections are as far
    off as is believed, since prompts and tokens wait for each other.
    """
    first = [_projected(run.config, Own()) for run in runs]
    for run, said in zip(runs, first, strict=True):
        _refuse(run, said)
    logs = {factor: _logs(runs, first, factor) for factor in MEASURED.values()}
    means = {factor: sum(values) / len(values) for factor, values in logs.items() if values}
    wanted = {factor: believed(mean, len(logs[factor])) for factor, mean in means.items()}
    own = Own()
    for _ in range(ROUNDS):
        now = [_projected(run.config, own) for run in runs]
        left = {
            factor: goal - means[factor] + sum(_logs(runs, now, factor)) / len(logs[factor])
            for factor, goal in wanted.items()
        }
        if max(map(abs, left.values())) < 1e-4:
            break
        steps = {factor: getattr(own, factor) * math.exp(value) for factor, value in left.items()}
        own = replace(own, **{factor: min(max(value, 0.1), 10.0) for factor, value in steps.items()})
    return [(factor, math.exp(means[factor]), getattr(own, factor), len(logs[factor])) for factor in means]


def _refuse(run: Run, said: Mapping[str, float]) -> None:
    """Raises ConfigError for a time that the plan has none of, and for one that cannot be of that plan."""
    for name, factor in MEASURED.items():
        if factor not in run.seconds:
            continue
        if factor not in said:
            raise ConfigError.of(f"{run.where} has {name}, and of this plan none is projected", f"leave {name} out")
        over = run.seconds[factor] / said[factor]
        if not 1 / FARTHEST <= over <= FARTHEST:
            raise ConfigError.of(
                f"{run.where} has {name}={run.seconds[factor]:g}, {over:.3g} times the {said[factor]:.3g} s that are projected",
                "write seconds, and the plan that ran",
            )


def _logs(runs: Sequence[Run], said: Sequence[Mapping[str, float]], factor: str) -> list[float]:
    return [
        math.log(run.seconds[factor] / each[factor])
        for run, each in zip(runs, said, strict=True)
        if factor in run.seconds
    ]


def _projected(config: Config, own: Own) -> dict[str, float]:
    """Seconds by factor: of a step, or what clients see at the longest prompt."""
    found = cost(lay_out(config), own.on(calibrated.of(config)))
    if found.projection is not None:
        return {"step": found.projection.step_time_s}
    if not found.aggregated:  # a server of one phase, whose clients nobody sees
        return {}
    row = max(found.aggregated, key=lambda row: row.sequence_length)
    return {"decode": row.tpot_s, **({} if row.ttft_s is None else {"prefill": row.ttft_s})}
