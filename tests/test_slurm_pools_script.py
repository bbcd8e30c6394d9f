"""The batch script of prefill and decode: as text, and run by stand-ins of Slurm's programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.specs.site import Site, SlurmSite
from tests.fake_slurm import batch
from tests.plans import HOSTILE, SmallPools, files, pools, write

HOSTS = (["n0", "n1"], ["n2", "n3", "n4"])
"""Of prefill, and of decode with a spare."""


def both(kind: str = "none", options: tuple[str, ...] = (), **given: Any) -> SmallPools:
    site = Site(name="test", slurm=SlurmSite(container=kind, container_options=list(options)))
    return pools((2, 2), (2, 1), 2, spares=(0, 1), site=site, **given)


def components(made: SmallPools) -> list[dict[str, str]]:
    """Name -> value of the directives of each component."""
    head = str(files(made)["slurm/job.sbatch"].text).split("\nset -Eeuo", 1)[0]
    return [
        dict(
            line.removeprefix("#SBATCH --").partition("=")[::2]
            for line in part.splitlines()
            if line.startswith("#SBATCH --")
        )
        for part in head.split("#SBATCH hetjob\n")
    ]


def calls(made: SmallPools, folder: Path, image: str = "") -> list[dict[str, Any]]:
    """Every srun of the job, its arguments and environment."""
    script = write(made, folder / "plan") / "slurm" / "job.sbatch"
    known = [host for part in HOSTS for host in part]
    done = batch(script, folder / "sub mit", HOSTS[0], known, image=image, components=HOSTS)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "sub mit" / "calls").read_text().splitlines()]


def word(call: dict[str, Any], name: str) -> str:
    return str(next(item.partition("=")[2] for item in call["argv"] if item.startswith(f"--{name}=")))


def test_each_pool_is_a_component_with_the_name_of_both() -> None:
    prefill, decode = components(both(name="pair"))
    assert (prefill["nodes"], decode["nodes"]) == ("2", "3")
    assert (prefill["ntasks-per-node"], decode["ntasks-per-node"]) == ("2", "2")
    assert {prefill["job-name"], decode["job-name"]} == {"pair"}
    assert {prefill["comment"], decode["comment"]} == {'"rankplan fedcba987654"'}


@pytest.mark.parametrize("kind", ["none", "pyxis", "apptainer"])
def test_the_script_is_clean(tmp_path: Path, kind: str) -> None:
    made = both(kind, ("--a 'b'",), image='it\'s "$(id)"', environment=HOSTILE, mounts=["/a b:/c"])
    path = write(made, tmp_path) / "slurm" / "job.sbatch"
    subprocess.run(["bash", "-n", str(path)], check=True)
    done = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_pyxis_stages_each_component_and_names_every_variable(tmp_path: Path) -> None:
    made = both("pyxis", image="registry.example/x:1", environment=HOSTILE)
    found = calls(made, tmp_path)
    staging = [call for call in found if any(item.startswith("--container-image=") for item in call["argv"])]
    assert {(word(call, "het-group"), word(call, "nodelist")) for call in staging} == {("0", "n0,n1"), ("1", "n2,n3")}
    main = [call for call in found if "SLURM_HOSTFILE" in call["environment"]]
    assert sorted((word(call, "het-group"), word(call, "ntasks")) for call in main) == [("0", "2")] * 2 + [("1", "4")]
    copied = tmp_path / "sub mit" / "rankplan-7" / "plan-7"
    for call in main:
        environment, role = call["environment"], ("prefill", "decode")[int(word(call, "het-group"))]
        assert environment["RANKPLAN_PLAN"] == str(copied / role)
        named = set(word(call, "container-env").split(","))
        assert named >= {"MASTER_ADDR", "RANKPLAN_POOL", "RANKPLAN_ENDPOINTS", *HOSTILE}
        assert f"{copied}:{copied}:ro" in word(call, "container-mounts").split(",")


def test_apptainer_is_given_every_variable_twice(tmp_path: Path) -> None:
    found = calls(both("apptainer", image="/dev/null", environment=HOSTILE), tmp_path, image="/dev/null")
    main = [call for call in found if "SLURM_HOSTFILE" in call["environment"]]
    assert len(main) == 3
    for call in main:
        for name in (*HOSTILE, "MASTER_ADDR", "RANKPLAN_ENDPOINTS"):
            assert call["environment"][f"APPTAINERENV_{name}"] == call["environment"][name]


def test_a_job_of_one_component_says_so(tmp_path: Path) -> None:
    script = write(both(), tmp_path / "plan") / "slurm" / "job.sbatch"
    done = batch(script, tmp_path / "sub", ["n0"], ["n0"])
    assert done.returncode == 64
    assert "beginning: job 7 has one component; submit this file with its own directives" in done.stderr


def test_what_slurm_cannot_carry_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scheduler\.slurm\.comment holds 'a\\nb'"):
        files(pools((1, 1), (1, 1), 2, options={"comment": "a\nb"}))
