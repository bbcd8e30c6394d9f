"""The installed wheel does what the checkout does, from any folder."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents, as an installer lays them out."""
    made = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(made), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = made.glob("rankplan-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made / "site")
    return made / "site"


def compile_strategy(cwd: Path, path: Path) -> Path:
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "compiler", "parallel=ep16_tp4_pp4_dp4"]
    subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)
    return cwd / "out" / "moe_30b_ep16_tp4_pp4_dp4"


@pytest.mark.slow
def test_the_wheel_writes_the_same_bytes_as_the_checkout(site: Path, tmp_path: Path) -> None:
    folders = []
    for name, path in (("wheel", site), ("checkout", ROOT)):
        (tmp_path / name).mkdir()
        folders.append(compile_strategy(tmp_path / name, path))
    contents = [{str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders]
    assert contents[0] == contents[1]
    assert "slurm/job.sbatch" in contents[0]


@pytest.mark.slow
def test_the_wheel_carries_what_it_needs_and_nothing_else(site: Path) -> None:
    tops = {path.name for path in site.iterdir()}
    assert tops == {"compiler", next(name for name in tops if name.endswith(".dist-info"))}
    assert (site / "compiler/_assets/conf/config.yaml").is_file()
    assert (site / "compiler/_assets/templates/slurm/job.sbatch.j2").is_file()
    assert (site / "compiler/runtime/probe.py").is_file()
    assert not list(site.rglob("__pycache__"))


def test_it_installs_where_there_is_no_index(site: Path, tmp_path: Path) -> None:
    """From a folder of wheels, as docs/install.md has it; what it depends on is there already."""
    environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PYTHONPATH": str(tmp_path)}
    options = ["--quiet", "--no-deps", "--find-links", str(site.parent), "--target", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "rankplan"], env=environment, check=True)
    ran = subprocess.run(
        [sys.executable, tmp_path / "bin" / "rankplan", "show", "nowhere", "rank=1"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr.split(":")[0]) == (2, "error")


def test_the_container_works_where_plans_are_mounted() -> None:
    (folder,) = re.findall(r"^WORKDIR (\S+)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    for place in ("docs/install.md", ".ci/install"):
        assert re.findall(r"--?v\S* \S*out:(\S+?)\"", (ROOT / place).read_text()) == [f"{folder}/out"]
