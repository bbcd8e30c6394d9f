"""Whatever is written on a command line or into a file: a plan, or lines of `error: WHAT ; INSTEAD`, and nothing half done.

`python -m tests.fuzz --cases 20000 --seed 7` runs as many as there is time for.
"""

from __future__ import annotations

import pytest

from tests.fuzz import command, tried
from tests.fuzz_cases import KINDS

SEED = 12
CASES = 8
"""Of a kind; all together take about a minute."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_cases_of_a_kind(kind: str) -> None:
    for number in range(CASES):
        made, _, wrong = tried(SEED, number, (kind,))
        assert not wrong, f"python -m tests.fuzz --kinds {kind} --only {SEED}:{number}: {command(made)}"


@pytest.mark.slow
def test_cases_as_programs() -> None:
    for number in range(2 * len(KINDS), 3 * len(KINDS)):
        made, _, wrong = tried(SEED, number, program=True)
        assert not wrong, f"python -m tests.fuzz --only {SEED}:{number}: {command(made)}"
