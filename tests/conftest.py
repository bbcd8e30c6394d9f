"""Fixtures of more than one topic."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings

from compiler import Plan, compile_plan
from tests.command import BARE, STRATEGY
from tests.marks import marks

# One thread a worker: matrices here are small, and threads that wait for each other take half of a fit's time. Before numpy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A command that a test starts finds our modules compiled, as a user's second one does: a third of its time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# The programs that come with the environment (shellcheck among them) are found however pytest was started.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])

# How long an example takes is the machine's business, and what else runs on it.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

ORACLES = ("test_framework_", "test_runtime_groups")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
UNAVAILABLE = "test_framework_tensorrt_llm_oracle"  # no wheel of it is published for here


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where RANKPLAN_COMPLETE is set, as the gate does, a framework's test that skips for want of a package fails."""
    report = yield
    return _complete(report, item.path.name)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module."""
    report = yield
    return _complete(report, collector.path.name)


def _complete(report: Report, name: str) -> Report:
    needed = name.startswith(ORACLES) and not name.startswith(UNAVAILABLE)
    if report.skipped and needed and os.environ.get("RANKPLAN_COMPLETE"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and RANKPLAN_COMPLETE is set: {report.longrepr}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks by what a test reaches. Of a test that compiles whole plans the first case is quick: the others show it of other values.

    Tests of a real Slurm mostly wait: they come first, so that another worker computes meanwhile.
    """
    items.sort(key=lambda item: not item.path.name.startswith("test_slurm_"))
    seen = set[str]()
    for item in items:
        found = {*marks(item)}
        name = item.nodeid.partition("[")[0]
        if found & {"process", "framework"} or (found and name in seen):
            item.add_marker("slow")
        elif not found and item.get_closest_marker("slow") is None:
            item.add_marker("core")
        seen.add(name)
        for mark in sorted(found):
            item.add_marker(mark)


def pytest_collection_finish() -> None:
    """What is collected stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


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
