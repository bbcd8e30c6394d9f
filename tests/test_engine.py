"""Templates, and the one function that quotes for bash."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.errors import ConfigError
from compiler.render import assets, engine
from tests.plans import HOSTILE


def read_back(words: list[str]) -> list[str]:
    """What a real bash makes of quoted words."""
    script = "printf '%s\\0' " + " ".join(map(engine.sh, words))
    assert "\n" not in script
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_bash_reads_every_value_back(value: str) -> None:
    assert read_back([value]) == [value]


def test_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="bash cannot carry a NUL"):
        engine.sh("a\0b")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_bash_reads_any_text_back(words: list[str]) -> None:
    assert read_back(words) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("node[1-3],node7", "node[1-3],node7"),
        ("", '""'),
        (" two words", '" two words"'),
        ('a "b" \\ $(id) #', '"a \\"b\\" \\\\ $(id) #"'),
    ],
)
def test_a_directive_is_quoted_as_sbatch_reads_it(value: str, text: str) -> None:
    assert engine.sbatch(value) == text


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x1bb"])
def test_a_directive_refuses_control_characters(value: str) -> None:
    with pytest.raises(ConfigError, match=r"a Slurm directive cannot carry .* ; write it on one line"):
        engine.sbatch(value)


def templates() -> Iterator[Path]:
    """Those that are rendered; one that begins with `_` holds macros for others."""
    folder = assets.folder("templates")
    return (path.relative_to(folder) for path in folder.rglob("[!_]*.j2"))


def test_an_undefined_name_is_an_error() -> None:
    from jinja2 import UndefinedError

    assert list(templates())
    for path in templates():
        with pytest.raises(UndefinedError):
            engine.render(str(path))


def test_folders_are_found_in_a_checkout_and_in_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (assets.folder("conf") / "scheduler" / "slurm.yaml").is_file()
    monkeypatch.setattr(assets, "__file__", str(tmp_path / "compiler" / "render" / "assets.py"))
    assert assets.folder("conf") == tmp_path / "conf"
    (tmp_path / "compiler" / "_assets" / "conf").mkdir(parents=True)
    assert assets.folder("conf") == tmp_path / "compiler" / "_assets" / "conf"


class TestBytecode:
    """Compiled templates are kept where Python keeps compiled modules."""

    @pytest.fixture(autouse=True)
    def kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever the environment says of it."""
        monkeypatch.setattr("sys.dont_write_bytecode", False)

    def test_what_was_compiled_is_not_compiled_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        text = self.rendered(tmp_path, monkeypatch)
        (kept,) = tmp_path.rglob("*.pyc")
        assert kept.is_relative_to(tmp_path / "kept")
        monkeypatch.setattr("jinja2.Environment.compile", None)
        assert self.rendered(tmp_path, monkeypatch) == text == "a $'\\n'"

    @pytest.mark.parametrize("broken", [b"", b"x" * 100, None])
    def test_what_is_broken_is_compiled_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes | None
    ) -> None:
        text = self.rendered(tmp_path, monkeypatch)
        (kept,) = tmp_path.rglob("*.pyc")
        kept.write_bytes(kept.read_bytes()[:-9] if broken is None else broken)
        assert self.rendered(tmp_path, monkeypatch) == text

    def test_another_text_is_another_program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rendered(tmp_path, monkeypatch)
        assert self.rendered(tmp_path, monkeypatch, "b {{ x | sh }}") == "b $'\\n'"

    def test_where_nothing_can_be_kept_nothing_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "kept").write_text("a file in the folder's place")
        assert self.rendered(tmp_path, monkeypatch) == "a $'\\n'"
        (tmp_path / "kept").unlink()
        monkeypatch.setattr("sys.dont_write_bytecode", True)
        assert self.rendered(tmp_path, monkeypatch) == "a $'\\n'"
        assert not list(tmp_path.rglob("*.pyc"))

    @staticmethod
    def rendered(place: Path, monkeypatch: pytest.MonkeyPatch, text: str = "a {{ x | sh }}") -> str:
        monkeypatch.setattr("sys.pycache_prefix", str(place / "kept"))
        monkeypatch.setattr(engine, "folder", lambda _: place)
        (place / "t.j2").write_text(text)
        return engine.environment.__wrapped__().get_template("t.j2").render(x="\n")
