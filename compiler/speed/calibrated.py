"""Read calibration files into frozen values; the cost model itself reads no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from compiler import gpus
from compiler.blocks.stack import stack
from compiler.costs.calibration import Calibration, GpuCalibration, KernelCurve, LinkCurve, assumed_curves, completed
from compiler.costs.own import narrowed
from compiler.costs.software import Engine, Software
from compiler.costs.uncertainty import Residuals, Uncertainty
from compiler.errors import ConfigError, Problem, short
from compiler.nearest import one_of
from compiler.specs.config import Config
from compiler.specs.hardware import Hardware
from compiler.specs.ranges import problems
from compiler.speed import files, kernels, site
from compiler.speed.selection import Table, constants, product, release_key


@cache
def gpu(name: str) -> GpuCalibration | None:
    """Curves of a GPU; None where there is no such file."""
    found = files.load(name)
    if not found:
        return None
    try:
        curves = _curves(str(found.get("name", name)), found)
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError.of(f"hardware.calibration has a curve that is none: {error}", files.WRITE) from error
    if bad := [*problems(curves, "hardware.calibration")] or [*_shapeless(curves)]:
        raise ConfigError(bad)
    return curves


def _shapeless(curves: GpuCalibration) -> Iterator[Problem]:
    """A curve's shape is one factor for each of its sizes, which grow."""
    for name, link in curves.links.items():
        if len(link.sizes) != len(link.shape) or list(link.sizes) != sorted(set(link.sizes)):
            key = f"hardware.calibration.links.{short(name)}"
            yield Problem(
                f"{key} has {len(link.sizes)} sizes and {len(link.shape)} factors, or sizes that do not grow",
                files.WRITE,
            )


def _curves(name: str, found: Mapping[str, Any]) -> GpuCalibration:
    return GpuCalibration(
        name=name,
        gemm={key: files.spec(KernelCurve, value) for key, value in found.get("gemm", {}).items()},
        grouped={key: files.spec(KernelCurve, value) for key, value in found.get("grouped", {}).items()},
        links={key: files.spec(LinkCurve, value) for key, value in found.get("links", {}).items()},
    )


def software(framework: str, release: str, hardware: str, precision: str) -> Software:
    """A training framework's constants on a GPU."""
    table = files.load("training").get("constants", {})
    key = release_key(table, framework, release)
    keys = {"framework": framework, "product": product(key), "release": key}
    keys |= {"generation": gpus.generation(hardware), "gpu": hardware, "precision": precision}
    return Software(**constants(table, vars(Software()), keys))


def engine(backend: str, release: str, hardware: str, precision: str) -> Engine:
    """A serving engine's constants on a GPU."""
    table = files.load("serving").get("constants", {})
    key = release_key(table, backend, release)
    keys = {"backend": backend, "release": key, "gpu": hardware, "precision": precision}
    return Engine(**constants(table, vars(Engine()), keys))


BACKENDS = {"tensorrt_llm": "trtllm"}
"""Frameworks that measurements know by another name."""


def of(config: Config) -> Calibration:
    """The curves and constants that a plan is timed by: those that its hardware names, else assumed ones. Raises ConfigError for
    unknown ones.
    """
    name, version = BACKENDS.get(config.framework.name, config.framework.name), config.framework.version or ""
    keys = (name, version, gpus.measured_as(config.hardware), config.workload.precision)
    train = config.workload.train
    measured = curves(config.hardware) if train else served(config.hardware, keys[0])
    file = files.load("training" if train else "serving")
    found = Calibration(
        measured,
        software=software(*keys) if train else Software(),
        engine=Engine() if train else engine(*keys),
        unseen=(*unseen(file.get("constants", {}), config, measured, name, version), *far(config)),
    )
    return site.of(config).on(found)


def curves(hardware: Hardware) -> GpuCalibration:
    """Of a cluster's GPU: what was not measured is assumed. Raises ConfigError for a name without curves."""
    wanted = hardware.calibration
    if wanted is None:
        return assumed_curves(hardware)
    found = gpu(wanted)
    if found is None or not found.gemm:
        known = sorted(path.stem for path in files.FOLDER.glob("*.yaml") if (other := gpu(path.stem)) and other.gemm)
        called = "the file given" if "\n" in wanted else wanted
        raise ConfigError.of(
            f"hardware.calibration={called} has no GEMM curves",
            f"{one_of('' if called != wanted else wanted, known)}, or null",
        )
    return gpus.on(gpus.measured_as(hardware), completed(found, hardware))


def served(hardware: Hardware, engine: str) -> GpuCalibration:
    """The same with the kernels of a serving engine, of the GPU itself or of the one whose curves it takes."""
    found, wanted = curves(hardware), hardware.calibration
    if wanted is None:
        return found
    gpu = gpus.measured_as(hardware)
    shipped = found if "\n" not in wanted else curves(replace(hardware, calibration=_kin(gpu)))
    return kernels.on(found, gpu if kernels.engines(gpu) else wanted, engine, shipped)


def _kin(gpu: str) -> str | None:
    """The file that a GPU's cluster takes its curves from, itself where it has one."""
    return gpu if (files.FOLDER / f"{gpu}.yaml").is_file() else None


MEASURED = {"attention", "latent", "dense", "routed"}
"""Kinds of blocks that rows which constants were fitted to have."""

OTHER_MODELS = 0.03
"""Spread of memory beyond that of the 18 runs whose rules were found by them (assumed): no fit makes its constants, so that none can
be left out.
"""

UNMEASURED = 0.25
"""Spread of a time whose model has blocks of other kinds, beyond what it has anyway (assumed)."""


STRANGE = 0.1
"""Spread of a serving time whose software, GPU or scale nobody measured, beyond that of what was left out (assumed); training's sources
that were left out are just such.
"""

RELEASE = "release "
"""How what was not measured begins where it is a newer release of what was."""


def left_out(unseen: Sequence[str], *, train: bool) -> tuple[str, ...]:
    """What was left out of the fits whose residuals a plan has, as its model is mostly none of those that were measured: of training by
    what is near, later dates where its release was not measured, and whole sources where its framework, GPU or scale was not.
    """
    if not train:
        return ("model", "source", *["date"] * bool(unseen))
    other = [text for text in unseen if not text.startswith(RELEASE)]
    return ("model", *["date"] * bool(unseen), *["source"] * bool(other))


def uncertainty(config: Config, by: Calibration) -> Uncertainty:
    """Residuals of each family: of assumed curves where a plan has no others; else the widest of what fits had not seen."""
    file, own = files.load("uncertainty"), site.of(config)
    names = {"step": site.kind(config), "ttft": "ttft", "tpot": "tpot", "rate": "rate"}

    def kept(part: str, name: str) -> Residuals:
        found = file.get(part, {}).get(name, {})
        return Residuals(float(found.get("bias", 0.0)), float(found.get("spread", 0.0)))

    families = {"memory": kept("fit", "memory").wider(OTHER_MODELS)}
    for family, name in names.items():
        if config.hardware.calibration is None:
            families[family] = kept("assumed", name)
        else:
            parts = left_out(by.unseen, train=config.workload.train)
            found = Residuals(spread=max(kept(part, name).spread for part in parts))
            strange = bool(by.unseen) and not config.workload.train
            families[family] = narrowed(found.wider(STRANGE) if strange else found, own.runs(family))
    if unmeasured(config):
        families |= {name: found.wider(UNMEASURED) for name, found in families.items() if name in names}
    return Uncertainty({name: found for name, found in families.items() if found.spread > 0})


def unmeasured(config: Config) -> tuple[str, ...]:
    """Kinds of blocks that no measured run has: their kernels' curves, or a roofline of their bytes and FLOPs, were held against none."""
    kinds = {block.kind for layer in stack(config.model).layers for block in layer}
    return tuple(sorted(kinds - MEASURED))


NEAR = 2
"""How many times more or fewer GPUs or tokens than were measured still count as near."""


def far(config: Config) -> Iterator[str]:
    """Scales that no measured point is near to."""
    name = site.kind(config) if config.workload.train else "tpot"
    measured = files.load("uncertainty").get("measured", {}).get(name, {})
    sizes = {"gpus": (config.degrees.world_size, "GPUs"), "tokens": (config.workload.longest, "tokens in a sequence")}
    for key, (size, words) in sizes.items():
        if key in measured and not measured[key][0] / NEAR <= size <= measured[key][1] * NEAR:
            low, high = measured[key]
            yield f"{size:,} {words}: {low:,} to {high:,} were measured"


def unseen(table: Table, config: Config, curves: GpuCalibration, name: str, version: str) -> Iterator[str]:
    """What selects constants or curves and was not measured; a serving engine's hang on no release, and its kernels know precisions."""
    level = "framework" if config.workload.train else "backend"
    hardware = gpus.measured_as(config.hardware)
    kin = gpus.generation(hardware)
    if kin and gpus.generation(curves.name) not in ("", kin):
        yield f"hardware.calibration={curves.name}: curves of another GPU than {config.hardware.gpu.name}"
    if hardware not in table.get("gpu", {}):
        kind = f"all {kin} GPUs" if kin in table.get("generation", {}) else "all GPUs"
        yield f"hardware {config.hardware.name}: the constants of {kind} together"
    if "precision" in table and config.workload.precision not in table["precision"]:
        yield f"precision {config.workload.precision}: the constants of all precisions together"
    if name not in table.get(level, {}):
        yield f"framework {name}: the constants of all frameworks together"
    elif "release" in table and f"{name}/{version}" not in table["release"]:
        latest = release_key(table, name, version)
        yield f"{RELEASE}{version or 'not given'} of {name}: the constants of its latest, {latest.partition('/')[2]}"
