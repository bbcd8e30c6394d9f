"""Fixtures of more than one topic."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler import Plan, compile_plan
from tests.command import BARE, STRATEGY

# The programs that come with the environment (shellcheck among them) are found however pytest was started.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


@pytest.fixture(scope="session")
def strategy() -> Plan:
    """What a bare command compiles, without launch targets."""
    return compile_plan([BARE])


@pytest.fixture(scope="session")
def strategy_folder(strategy: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its plan folder; for reading only."""
    return strategy.write(tmp_path_factory.mktemp("strategy") / "out")


@pytest.fixture(scope="session")
def strategy_json(strategy: Plan) -> dict[str, Any]:
    assert strategy.name == STRATEGY
    return strategy.to_dict()
