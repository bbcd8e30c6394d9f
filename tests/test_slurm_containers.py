"""Containers under Slurm: what srun and the container are given, read back by a stand-in of srun."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.schedulers.job import job
from compiler.schedulers.slurm.containers import container
from tests.fake_slurm import batch
from tests.plans import HOSTILE, files, plan, write
from tests.slurm_scripts import at, calls


def options(call: dict[str, Any]) -> dict[str, str]:
    """Name -> value of the options of a step."""
    words = call["argv"]
    return dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nvcr.io/nvidia/pytorch:24.01", "nvcr.io#nvidia/pytorch:24.01"),
        ("docker://nvcr.io/nvidia/pytorch:24.01", "nvcr.io#nvidia/pytorch:24.01"),
        ("localhost/x", "localhost#x"),
        ("registry:5000/x", "registry:5000#x"),
        ("ubuntu:24.04", "ubuntu:24.04"),
        ("library/ubuntu", "library/ubuntu"),
        ("user@nvcr.io#nvidia/x", "user@nvcr.io#nvidia/x"),
        ("/shared/train.sqsh", "/shared/train.sqsh"),
        ("./train.sqsh", "./train.sqsh"),
    ],
)
def test_an_image_as_enroot_reads_it(image: str, expected: str) -> None:
    found = container(job(plan(image=image, site=at(container="pyxis"))))
    assert found is not None
    assert found.image == expected


def test_pyxis_stages_once_and_names_every_variable(tmp_path: Path) -> None:
    image = "registry.example/it's $(id):1"
    site = at(container="pyxis", container_options=["--container-writable"])
    source = tmp_path / "a b"
    source.mkdir()
    mounts = [{"source": str(source), "target": "/c $d", "read_only": True}]
    made = plan(
        2, 2, image=image, mounts=mounts, site=site, environment=HOSTILE, secrets={"T": "/dev/null"}, spare_nodes=1
    )
    preflight, staging, main = calls(made, tmp_path)
    assert not any("container" in word for word in preflight["argv"])
    assert options(staging) | {"container-image": "registry.example#it's $(id):1", "ntasks-per-node": "1"} == options(
        staging
    )
    assert (options(staging)["nodelist"], staging["argv"][-1]) == ("n0,n1", "true")
    found = options(main)
    assert found["container-name"] == options(staging)["container-name"] == "rankplan-7"
    assert "container-image" not in found
    run = tmp_path / "sub mit" / "rankplan-7"
    folder = run / "plan-7"
    assert found["container-mounts"].split(",") == [
        f"{source}:/c $d:ro", "/dev/null:/dev/null:ro", f"{run}:{run}:rw", f"{folder}:{folder}:ro",
    ]  # fmt: skip
    named = set(found["container-env"].split(","))
    given = {"MASTER_ADDR", "MASTER_PORT", "TORCH_FR_DUMP_TEMP_FILE", *HOSTILE}
    ours = {name for name in main["environment"] if name.startswith("RANKPLAN_") and "FAKE" not in name}
    assert named >= given | (ours - {"RANKPLAN_REPORT"})
    assert all(name in main["environment"] for name in named)
    assert {"no-container-mount-home", "container-writable"} <= set(found)


def test_apptainer_is_given_every_variable_twice(tmp_path: Path) -> None:
    """The image's own value gives way to APPTAINERENV_NAME alone."""
    made = plan(
        2, 2, image="/dev/null", site=at(container="apptainer", container_options=["--nv"]), environment=HOSTILE
    )
    _, main = calls(made, tmp_path)
    words = main["argv"][main["argv"].index("apptainer") :]
    run = tmp_path / "sub mit" / "rankplan-7"
    folder = run / "plan-7"
    binds = f"{run}:{run}:rw,{folder}:{folder}:ro"
    assert words[:7] == ["apptainer", "exec", "--no-home", "--bind", binds, "--nv", "/dev/null"]
    for name in (*HOSTILE, "MASTER_ADDR", "RANKPLAN_PLAN", "RANKPLAN_HOSTS"):
        assert main["environment"][f"APPTAINERENV_{name}"] == main["environment"][name]
    assert {name: main["environment"][name] for name in HOSTILE} == HOSTILE


@pytest.mark.parametrize("kind", ["pyxis", "apptainer"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"mounts": [{"source": "/a,b", "target": "/c"}]},
            "mount /a,b -> /c: a path in a {} mount has no comma and no co",
        ),
        (
            {"mounts": [{"source": "/a", "target": "/c:d"}]},
            "mount /a -> /c:d: a path in a {} mount has no comma and no co",
        ),
        (
            {"mounts": [{"source": "/a\nb", "target": "/c"}]},
            "a {} mount is one line ; mount a folder without line breaks",
        ),
        ({"secrets": {"T": "/a:b"}}, "launch.secrets.T=/a:b: a path in a {} mount has no comma and no colon"),
    ],
)
def test_what_a_mount_cannot_carry_is_refused(kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as found:
        files(plan(image="/x", site=at(container=kind), **given))
    assert message.format(kind) in str(found.value)
    files(plan(image="/x", **given))  # on the node itself there is no mount


@pytest.mark.parametrize("kind", ["pyxis", "apptainer"])
def test_a_run_folder_that_no_mount_can_carry_stops_the_job(tmp_path: Path, kind: str) -> None:
    script = write(plan(1, 2, image="x", site=at(container=kind)), tmp_path / "plan") / "slurm" / "job.sbatch"
    done = batch(script, tmp_path / "a,b", ["n0"], ["n0"])
    assert done.returncode == 64
    assert f"preparing the container: mounts of {kind} have no comma, colon or line break" in done.stderr


@pytest.mark.parametrize("kind", ["pyxis", "apptainer"])
def test_the_script_is_clean(tmp_path: Path, kind: str) -> None:
    site = at(
        container=kind, container_options=["--a 'b'"], topology_command=["a b", "$(id)"], pass_environment=["LD_*"]
    )
    made = plan(2, 8, image='it\'s "$(id)"', site=site, instances=4, mounts=["/a b:/c"], environment=HOSTILE)
    path = write(made, tmp_path) / "slurm" / "job.sbatch"
    subprocess.run(["bash", "-n", str(path)], check=True)
    done = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
