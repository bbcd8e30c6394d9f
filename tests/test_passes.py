"""Passes over a draft: what each adds, where it ends, and how often a compile makes a product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compiler import document, plan
from compiler.config.load import load_config
from compiler.console import summary
from compiler.errors import InvariantError
from compiler.passes import Draft, compile_config, tried
from compiler.pools import compile_any
from tests.pooled_plans import ON, POOLS


def names(*overrides: str) -> list[tuple[str, int]]:
    """Passes that ran, with how many checks there were after each."""
    seen: list[tuple[str, int]] = []

    def observe(name: str, draft: Draft) -> None:
        seen.append((name, len(draft.checks)))

    try:
        compile_config(load_config(["scheduler=[]", *overrides]), observe)
    except InvariantError:
        seen.append(("refused", seen[-1][1]))
    return seen


def test_somebody_may_watch_between_passes() -> None:
    found = names()
    assert [name for name, _ in found] == [
        "declared",
        "placed",
        "laid_out",
        "graphed",
        "projected",
        "launched",
        "judged",
    ]
    assert [count for _, count in found] == sorted(count for _, count in found)


def test_all_that_fails_is_listed_unless_no_rank_can_be_laid_out() -> None:
    assert [name for name, _ in names("parallel=tp3")] == ["declared", "refused"]
    late = names("hardware.gpu.memory_bytes=1e9")
    assert [name for name, _ in late][-2:] == ["judged", "refused"]
    with pytest.raises(InvariantError, match="memory"):
        tried(load_config(["scheduler=[]", "hardware.gpu.memory_bytes=1e9"]))


@pytest.mark.parametrize(("overrides", "parts"), [(["scheduler=[slurm,jobset]"], 1), ([*ON, POOLS], 2)])
def test_a_compile_makes_each_product_once(
    overrides: list[str], parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def counted(module: Any, name: str) -> None:
        kept = getattr(module, name)

        def call(*given: Any) -> Any:
            made.append(name)
            return kept(*given)

        monkeypatch.setattr(module, name, call)

    counted(plan, "document")
    counted(document, "facts")
    done = compile_any(load_config(overrides))
    summary(done, done.write(tmp_path))
    assert sorted(made) == sorted(["document", "facts"] * parts)


def test_what_a_user_is_given_is_his_to_change() -> None:
    done = compile_any(load_config(["scheduler=[]"]))
    found = done.to_dict()
    found["memory"].clear()
    assert done.to_dict()["memory"]
