"""docs/architecture.md is what the layers are; `python -m tests.test_architecture` writes it anew."""

from pathlib import Path

from tests.architecture import ROOT, page, rows

PAGE = ROOT / "docs" / "architecture.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.test_architecture`"


def test_every_layer_says_what_it_is() -> None:
    assert [name for _, name, said in rows() if not said] == []


def test_every_module_is_in_a_layer() -> None:
    """What no layer names could be imported from anywhere."""
    named = {name for _, name, _ in rows()}
    tops = {
        path.stem
        for path in Path(ROOT, "compiler").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    loose = {name for name in tops if name not in named and not any(other.startswith(f"{name}/") for other in named)}
    assert loose == {"__init__", "runtime"}  # the door, and what runs on the cluster alone


if __name__ == "__main__":
    PAGE.write_text(page())
