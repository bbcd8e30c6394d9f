"""A plan folder whose runtime is run on files and variables that are not what they should be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.plans import plan, write
from tests.probes import RANK_5

COLUMNS = "rank,slot,host,local_rank,tp,cp,dp,pp,etp,ep,edp,layers,experts,nic"
ROWS = [f"{rank},{rank // 4},,{rank % 4},0,0,0,0,,,,0-1,,mlx5_0" for rank in range(8)]
TABLE = "\n".join([COLUMNS, *ROWS, ""])
KNOWN = {**RANK_5, "PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node2", "RANKPLAN_GRACE_S": "1", "LANG": "C.UTF-8"}


def eight_ranks(tmp_path: Path) -> Path:
    """Eight ranks on two nodes, with a table."""
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t")
    made = write(plan(2, 4, command=["true"], secrets={"TOKEN": str(secret)}), tmp_path / "plan")
    (made / "rank_map.csv").write_text(TABLE)
    return made


def run(
    folder: Path,
    name: str,
    *words: str,
    code: int | None = 64,
    given: bytes = b"",
    changed: Mapping[str, str] | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """A program of the plan; with a `code`, it ends with that and one line."""
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / f"{name}.py"), *words]
    known = {key: value for key, value in {**KNOWN, **environment, **(changed or {})}.items() if value != "UNSET"}
    raw = subprocess.run(command, env=known, input=given, capture_output=True, check=False, timeout=60)
    done = subprocess.CompletedProcess(command, raw.returncode, raw.stdout.decode(), raw.stderr.decode())
    assert "Traceback" not in done.stderr, done.stderr
    if code is not None:
        assert done.returncode == code, done
        assert (done.stderr.count("\n"), done.stderr[:10]) == (int(code != 0), "rankplan: "[: 10 * (code != 0)]), (
            done.stderr
        )
    return done
