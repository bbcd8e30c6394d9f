"""Command lines and files that nobody should write, made from a seed: the same seed and number give the same case."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.fuzz_files import calibration, config_dir, hf_config, inventory, loads, measurements, plan_folder
from tests.fuzz_words import TEXTS, Made, key, near, odd, start, value


@dataclass(frozen=True)
class Case:
    """Arguments of `program` (`compiler`, `compiler.show`, ...) and the files beside it."""

    kind: str
    args: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    program: str = "compiler"


def case(seed: int, number: int, kinds: tuple[str, ...] = ()) -> Case:
    """One of the kinds, in turn."""
    names = kinds or tuple(KINDS)
    kind = names[number % len(names)]
    rng = random.Random(f"{seed} {number}")
    program, args, files = KINDS[kind](rng)
    return Case(kind, tuple(args), files, program)


def overrides(rng: random.Random) -> Made:
    """One to three values that are odd, or keys."""
    made = [odd(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    if rng.random() < 0.1:
        made.append(rng.choice(("", "a", "=", "==", "~", "~model", "+", "a:b", value(rng))))
    if rng.random() < 0.02:
        made += [f"launch.environment.A{i}={value(rng)[:9]}" for i in range(3000)]
    return "compiler", [*start(rng), *made], {}


def degrees(rng: random.Random) -> Made:
    """Degrees of every spelling, by name and by key."""
    names = "tp cp pp vpp ep etp dp adp tq TP".split()
    sizes = [*"0 1 2 3 4 8 16 64 128 1000000 -1 ² 1.5".split(), "", "9" * 400]
    name = rng.choice("______-+ ").join(
        f"{rng.choice(names)}{rng.choice(sizes[1:7] if rng.random() < 0.9 else sizes)}"
        for _ in range(rng.randint(0, 6))
    )
    extra = [f"parallel.{rng.choice(names)}={rng.choice(sizes)}" for _ in range(rng.choice((0, 0, 1, 2)))]
    return "compiler", [*start(rng), f"parallel={name}", *extra], {}


def options(rng: random.Random) -> Made:
    """The command line's own options."""
    flags = (
        "-m --multirun --help --hydra-help --version --cfg -c --info -i --resolve -p --package --config-dir -cd --config-path "
        "--config-name -cn --shell-completion -sc --run -r --nope -- -".split()
    )
    words = [
        "job",
        "hydra",
        "all",
        "hardware",
        "mine",
        ".",
        "/",
        "/dev/null",
        "config",
        "../x",
        "a/b.yaml",
        *TEXTS[:20],
    ]
    args = start(rng)
    for _ in range(rng.randint(1, 3)):
        flag = rng.choice(flags)
        more = rng.choice(((flag,), (flag, rng.choice(words)), (f"{flag}={rng.choice(words)}",)))
        at = rng.randint(0, len(args))
        args[at:at] = more
    return (
        "compiler",
        args,
        {"mine/hardware/lab.yaml": b"nodes: 2\n", "mine/config.yaml": b"defaults: [rankplan_schema]\n"},
    )


def sweep(rng: random.Random) -> Made:
    """A few jobs, some of them odd."""
    name = key(rng)
    swept = f"{name}={near(rng, name)},{rng.choice((near(rng, name), value(rng)[:200]))}"
    return (
        "compiler",
        [*start(rng), "-m", swept, *[odd(rng)[:300]] * (rng.random() < 0.5)],
        {},
    )


KINDS: dict[str, Callable[[random.Random], Made]] = {
    maker.__name__: maker
    for maker in (
        overrides,
        degrees,
        config_dir,
        options,
        inventory,
        hf_config,
        sweep,
        loads,
        calibration,
        measurements,
        plan_folder,
    )
}
