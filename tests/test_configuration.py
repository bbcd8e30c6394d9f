"""docs/configuration.md is what the schema says; `python -m tests.test_configuration` writes it anew."""

from pathlib import Path

from compiler.config.settings import paths
from tests.configuration import keys, page

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.test_configuration`"


def test_every_key_says_what_it_is() -> None:
    assert [path for path, _, text in keys() if not text] == []


def test_every_key_that_takes_a_value_is_there() -> None:
    found = {path.replace("[]", "") for path, _, _ in keys()}
    assert found <= set(paths())
    sections = {path for path in paths() if any(other.startswith(f"{path}.") for other in paths())}
    assert set(paths()) - found - sections == set()


if __name__ == "__main__":
    PAGE.write_text(page())
