"""Physical quantities in other units than the field's: warned of, with the value that was meant."""

from __future__ import annotations

import re

import pytest

from compiler.config.load import load_config
from compiler.errors import ConfigError, InvariantError
from compiler.invariants.units import units
from compiler.passes import compile_config
from compiler.render.assets import folder
from compiler.specs.config import Config
from compiler.specs.ranges import unusual
from compiler.specs.units import written
from tests.configs import changed, composed

FILES = [
    f"{group}={path.stem}"
    for group in ("hardware", "model", "workload", "site", "launch")
    for path in sorted((folder("conf") / group).glob("*.yaml"))
]


@pytest.mark.parametrize("choice", FILES)
def test_what_ships_is_usual(choice: str) -> None:
    assert list(unusual(load_config(["scheduler=[]", choice]))) == []


BASE = composed()
WHOLE = ("launch.preflight.timeout_s", "site.kubernetes.shm_bytes", "site.kubernetes.memory_per_gpu_bytes")


def with_override(override: str) -> Config:
    """The strategy with a number as a user writes it."""
    key, _, text = override.partition("=")
    return changed(BASE, {key: int(text) if key in WHOLE else float(text)})


CASES = [
    ("hardware.nvlink.bandwidth=450", "450 bytes/s is below what there is, 5e9 to 10e12 bytes/s", "450e9", "GB/s"),
    ("hardware.nvlink.bandwidth=0.9", "0.9 bytes/s is below", "900e9", "TB/s"),
    ("hardware.nic.bandwidth=400", "400 bytes/s is below", "50e9", "Gbit/s"),
    ("hardware.nic.bandwidth=25", "25 bytes/s is below", "25e9", "GB/s"),
    ("hardware.nic.bandwidth=400e9", "400e9 bytes/s is above", "50e9", "bit/s"),
    ("hardware.gpu.memory_bandwidth=3350", "3350 bytes/s is below", "3.35e12", "GB/s"),
    ("hardware.gpu.memory_bandwidth=3.35", "3.35 bytes/s is below", "3.35e12", "TB/s"),
    ("hardware.gpu.peak_flops.bf16=989.4", "989.4 FLOP/s is below", "989.4e12", "TFLOP/s"),
    ("hardware.gpu.peak_flops.fp8=1.979", "1.979 FLOP/s is below", "1.979e15", "PFLOP/s"),
    ("hardware.nvlink.latency=1", "1 s is above what there is, 50e-9 to 200e-6 s", "1e-6", "us"),
    ("hardware.nic.latency=5000", "5000 s is above", "5e-6", "ns"),
    ("hardware.nic.latency=0.005", "0.005 s is above", "5e-6", "ms"),
    ("hardware.nic.bandwidth=400e12", "400e12 bytes/s is above", "50e9", "Gbit/s"),
    ("hardware.gpu.memory_bandwidth=3.35e15", "3.35e15 bytes/s is above", "3.35e12", "GB/s"),
    ("hardware.gpu.memory_bytes=80e12", "80e12 bytes is above", "80e9", "GB"),
    ("hardware.gpu.peak_flops.bf16=989e15", "989e15 FLOP/s is above", "989e12", "TFLOP/s"),
    ("model.declared.params=30", "30 parameters is below", "30e9", "billions"),
    ("workload.tokens=15", "15 tokens is below", "15e12", "trillions"),
    ("workload.gpu_mtbf_s=50000", "50000 s is below", "180e6", "hours"),
    ("workload.restart_s=600000", "600000 s is above", "600", "ms"),
    ("workload.checkpoint_interval_s=30", "30 s is below", "1800", "minutes"),
    ("launch.preflight.timeout_s=300000", "300000 s is above", "300", "ms"),
    ("launch.preflight.shm_bytes=64", "64 bytes is below", "64e9", "GB"),
    ("site.kubernetes.shm_bytes=64", "64 bytes is below", "68719476736", "GiB"),
    ("site.kubernetes.memory_per_gpu_bytes=200", "200 bytes is below", "200000000000", "GB"),
]


@pytest.mark.parametrize(("override", "said", "meant", "unit"), CASES)
def test_another_unit_is_warned_of(override: str, said: str, meant: str, unit: str) -> None:
    key, (found,) = override.partition("=")[0], units(with_override(override))
    assert (found.id, found.status) == ("unit", "warn")
    assert found.message.startswith(f"{key}={said}")
    assert f"{key}={meant} if {unit} was meant" in found.fix
    for fix in re.findall(r"(\S+=\S+) if", found.fix):
        assert list(units(with_override(fix))) == []


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "hardware.gpu.memory_bytes=80",
            "is below 1e+06 bytes ; write 1e+06 or more, or hardware.gpu.memory_bytes=80e9 if GB",
        ),
        ("hardware.gpu.memory_bytes=81559", "hardware.gpu.memory_bytes=85.5208e9 if MiB was meant"),
        (
            "hardware.gpu.compute_efficiency=75",
            "above 1 ; write at most 1, or hardware.gpu.compute_efficiency=0.75 if % was",
        ),
    ],
)
def test_what_cannot_be_says_what_was_meant_too(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(["scheduler=[]", override])


def test_a_quantity_without_another_unit_says_its_own() -> None:
    (found,) = units(load_config(["scheduler=[]", "hardware.gpu.peak_flops.bf16=5e20"]))
    assert found.fix == "check that it is in FLOP/s"


@pytest.mark.parametrize("value", ["5e-9", "1e-3", "5", "300", "9e4"])
def test_a_latency_is_written_in_no_minutes(value: str) -> None:
    (found,) = units(with_override(f"hardware.nvlink.latency={value}"))
    assert not re.search("minutes|hours|days", found.fix)


def test_nothing_is_no_small_quantity() -> None:
    assert list(units(load_config(["scheduler=[]", "workload.checkpoint_s=0", "launch.preflight.shm_bytes=0"]))) == []


def test_a_plan_warns_and_is_compiled_and_a_refusal_tells_it_too() -> None:
    slow = ["scheduler=[]", "hardware.nvlink.bandwidth=450"]
    assert [check.id for check in compile_config(load_config(slow)).checks if check.status == "warn"].count("unit") == 1
    with pytest.raises(InvariantError, match=r"unit: hardware.nvlink.bandwidth=450 bytes/s"):
        compile_config(load_config([*slow, "hardware.nodes=3"]))


@pytest.mark.parametrize(
    ("value", "said"),
    [(450e9, "450e9"), (5e-6, "5e-6"), (0.8, "0.8"), (1800, "1800"), (2.1e11, "210e9"), (85.52e9, "85.52e9"), (0, "0")],
)
def test_numbers_are_written_as_people_do(value: float, said: str) -> None:
    assert written(value) == said
    assert float(said) == value


def test_whole_numbers_keep_their_digits() -> None:
    assert written(64 * 2.0**30, whole=True) == "68719476736"
