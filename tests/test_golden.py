"""Whole plan folders, byte for byte. `python -m tests.test_golden` writes them anew; the diff is for the reviewer."""

import shlex
import shutil
from pathlib import Path

import pytest

from compiler import compile_plan

GOLDEN = Path(__file__).parent / "golden"
LEFT_OUT = (".py", ".npz")
SEEN = "mixtral_train"
"""The case whose report.html is kept whole."""
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/overrides.txt"))


def files(folder: Path, case: str) -> dict[str, bytes]:
    """Path -> content; the programs under runtime/ are copies of the sources, traffic.npz is no text and of pages one is kept
    to be seen: the manifest has the digests of all.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in LEFT_OUT]
    kept = [path for path in paths if path.name != "report.html" or case == SEEN]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def compiled(case: str, out: Path) -> Path:
    """Compile a case's overrides; a file that they name lies beside them."""
    folder = GOLDEN / case
    overrides = shlex.split((folder / "overrides.txt").read_text(), comments=True)
    overrides = [item.replace("@/", f"{folder}/") for item in overrides]
    return compile_plan(overrides).write(out)


@pytest.mark.parametrize("case", CASES)
def test_a_plan_folder_is_what_it_was(case: str, tmp_path: Path) -> None:
    found, expected = files(compiled(case, tmp_path), case), files(GOLDEN / case / "plan", case)
    assert sorted(found) == sorted(expected)
    for path, content in expected.items():
        assert found[path].decode() == content.decode(), path


def regenerate() -> None:
    for case in CASES:
        target = GOLDEN / case / "plan"
        shutil.rmtree(target, ignore_errors=True)
        folder = compiled(case, target.with_name("writing"))
        for path, content in files(folder, case).items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content)
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    regenerate()
