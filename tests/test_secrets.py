"""No secret enters a file: 66 shapes, 58 names and 12 options in every place of every target, and 77 that look alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from compiler import secrets
from compiler.config import exposed
from compiler.errors import Problem
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.specs.expect import Claim
from compiler.specs.workload import Pool, Pools
from tests.configs import changed, composed
from tests.secret_cases import (
    HINTING,
    INNOCENT_TEXTS,
    INNOCENT_VARIABLES,
    NAMES,
    NOT_RANDOM,
    OPTIONS,
    PROGRAM_TEXTS,
    SHAPES,
)

TARGETS = registry.names()
HOSTS = "host,leaf,pod,rack\nn1,l,p,r\n"


@cache
def base(target: str) -> Config:
    """A configuration with that target, and something in each list and mapping."""
    config = composed(f"scheduler=[{target}]")
    workload = dataclasses.replace(config.workload, pools=Pools(Pool(args=["x"]), Pool(args=["x"])))
    expect = dataclasses.replace(config.expect, claims=[Claim("a", "b", "c", "d")])
    return dataclasses.replace(config, workload=workload, expect=expect)


def everywhere(spec: Any, text: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each key that a text may stand at, and what stands there then."""
    for item in dataclasses.fields(spec):
        value, key = getattr(spec, item.name), f"{path}{item.name}"
        if dataclasses.is_dataclass(value):
            yield from everywhere(value, text, f"{key}.")
        elif key == "scheduler":
            for name, options in value.items():
                yield from everywhere(options, text, f"{key}.{name}.")
        elif key != "launch.secrets" and (held := _holding(str(item.type), value, text)) is not None:
            yield key, held


def _holding(kind: str, value: Any, text: str) -> Any:
    """A value of that type with the text in it, None where it takes none."""
    if "Claim" in kind:
        return [dataclasses.replace(value[0], statement=text)]
    if "list[dict" in kind:
        return [{"key": text}]
    if "dict[" in kind:
        return {"X": text}
    if "list[str" in kind or "list[Any" in kind:
        return ["x", text]
    return text if "str" in kind or kind == "Any" else None


def keys_of(problems: Iterator[Problem]) -> set[str]:
    """Which keys are refused, without the index or variable in them."""
    return {problem.what.split(" ")[0].split("[")[0].removesuffix(".X").removesuffix(".key") for problem in problems}


def filled(config: Config, places: dict[str, Any]) -> Config:
    options = {name: dataclasses.asdict(chosen) for name, chosen in config.scheduler.items()}
    for key, value in places.items():
        if key.startswith("scheduler."):
            _, name, option = key.split(".")
            options[name][option] = value
    made = {name: registry.target(name).options(**given) for name, given in options.items()}
    rest = {key: value for key, value in places.items() if not key.startswith("scheduler.")}
    return changed(dataclasses.replace(config, scheduler=made), rest)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_a_shape_is_refused_in_every_place(target: str, text: str) -> None:
    """Those of no target are looked at once."""
    places = dict(everywhere(base(target), text))
    assert len(places) > 60
    places = {key: value for key, value in places.items() if target == "slurm" or key.startswith("scheduler.")}
    found = list(exposed.problems(filled(base(target), places)))
    assert set(places) <= keys_of(iter(found))
    assert text.strip() not in "\n".join(map(str, found))


@pytest.mark.parametrize("target", TARGETS)
def test_what_looks_alike_passes_in_every_place(target: str) -> None:
    for text in INNOCENT_TEXTS:
        config = filled(base(target), dict(everywhere(base(target), text)))
        assert [str(problem) for problem in exposed.problems(config)] == [], text
    assert len(INNOCENT_TEXTS) + len(INNOCENT_VARIABLES) >= 77


@pytest.mark.parametrize("place", ["launch.environment", "site.environment", "site.kubernetes.pod_annotations"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_refused(place: str, name: str) -> None:
    """Whatever the value: here none that shows by itself."""
    config = changed(base("slurm"), {place: {name: "hunter2"}})
    (problem,) = exposed.problems(config)
    assert problem.what.startswith(f"{place}.{name} ")
    assert "hunter2" not in str(problem)
    assert f"launch.secrets.{name}=/run/secrets/{name}" in problem.instead or "environment" not in place


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_refused_in_a_command(name: str) -> None:
    for words in (
        [f"{name}=hunter2"],
        [f"--env={name}=hunter2"],
        ["bash", "-c", f"export {name}='hunter2'; exec python3 x.py"],
    ):
        for key in ("launch.command", "framework.args", "site.slurm.health_command"):
            found = list(exposed.problems(changed(base("slurm"), {key: words})))
            assert found, (key, words)
            assert "hunter2" not in "\n".join(map(str, found))


@pytest.mark.parametrize("name", HINTING)
def test_a_name_that_hints_is_refused_with_what_looks_random(name: str) -> None:
    for value in ("hunter2", "a1b2c3d4e5f6", "kJ7hGf2dQ9xL4mZp"):
        assert secrets.named(name, value), value
        assert secrets.first(f"env {name}={value} python3 x.py"), value
    for value in NOT_RANDOM:
        assert secrets.named(name, value) is None, value


@pytest.mark.parametrize("text", PROGRAM_TEXTS)
def test_a_program_that_hands_one_on_is_refused_and_hidden(text: str) -> None:
    value = "kJ7hGf2dQ9xL4mZp"
    said = [
        str(problem) for problem in exposed.problems(changed(base("slurm"), {"launch.command": [text.format(value)]}))
    ]
    assert len(said) == 1
    assert value not in said[0]
    assert value not in secrets.redacted(text.format(value))


def test_one_secret_is_told_once() -> None:
    words = ["a", "b", "c", SHAPES["nvidia"]]
    (problem,) = exposed.problems(changed(base("slurm"), {"launch.command": words}))
    assert problem.what.startswith("launch.command[3] ")


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_refused_with_its_value(option: str) -> None:
    for words in ([f"{option}=hunter2"], [option, "hunter2"], [f"python3 x.py {option} hunter2"]):
        for key in ("launch.command", "framework.args"):
            found = list(exposed.problems(changed(base("slurm"), {key: ["a", *words]})))
            assert found, (key, words)
            assert "launch.secrets." in found[0].instead
            assert "hunter2" not in "\n".join(map(str, found))


def test_innocent_variables_pass() -> None:
    for place in ("launch.environment", "site.environment"):
        assert list(exposed.problems(changed(base("slurm"), {place: INNOCENT_VARIABLES}))) == []
    words = [f"{name}={value}" for name, value in INNOCENT_VARIABLES.items()]
    assert list(exposed.problems(changed(base("slurm"), {"launch.command": ["env", *words]}))) == []


def test_no_key_of_ours_is_a_name_of_a_secret() -> None:
    names = [key.rpartition(".")[2] for target in TARGETS for key, _ in everywhere(base(target), "x")]
    assert [name for name in names if secrets.named(name, "x")] == []


def test_words_that_were_looked_at_are_looked_at_once() -> None:
    seen: set[str] = set()
    assert secrets.shaped("x: fine", seen) is None
    assert seen == {"x:", "fine"}
    for _ in range(2):  # what holds a secret is not passed over the second time
        assert secrets.shaped(f"x: {SHAPES['huggingface']}", seen) is not None
