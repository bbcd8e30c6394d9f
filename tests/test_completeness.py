"""In the gate no oracle is missing: a framework's test that would skip fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("complete", "code", "said"), [("", 0, "1 skipped"), ("1", 1, "RANKPLAN_COMPLETE is set")])
def test_a_missing_wheel(tmp_path: Path, complete: str, code: int, said: str) -> None:
    test = "tests/test_framework_megatron_oracle.py::test_the_strategy_is_proved_in_seconds"
    environment = {**os.environ, "RANKPLAN_WHEELS": str(tmp_path), "RANKPLAN_COMPLETE": complete}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", test]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == code, ran.stdout
    assert said in ran.stdout
