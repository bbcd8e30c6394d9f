"""What loading makes of values that YAML reads in its own way."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from compiler.config.load import load_config
from compiler.config.source import FileSource
from compiler.errors import ConfigError
from compiler.render.assets import folder


def launch_file(folder: Path, environment: str) -> Path:
    (folder / "launch").mkdir()
    (folder / "launch/mine.yaml").write_text(f"environment: {environment}\n")
    return folder


@pytest.mark.parametrize(
    ("written", "value"), [("8", "8"), ('"no"', "no"), ("plain text", "plain text"), ('"1e3"', "1e3")]
)
def test_numbers_and_texts_become_texts(tmp_path: Path, written: str, value: str) -> None:
    folder = launch_file(tmp_path, f"{{A: {written}}}")
    config = load_config(["scheduler=[]", "launch=mine"], str(folder))
    assert config.launch.environment == {"A": value}


@pytest.mark.parametrize(
    ("written", "read"), [("no", "False"), ("1e3", "1000.0"), ("null", "None"), ("[a]", r"\['a'\]")]
)
def test_words_that_yaml_reads_as_something_else_are_refused(tmp_path: Path, written: str, read: str) -> None:
    folder = launch_file(tmp_path, f"{{A: {written}}}")
    with pytest.raises(ConfigError, match=rf"launch.environment.A={read} is no text ; write one value, in quotes"):
        load_config(["scheduler=[]", "launch=mine"], str(folder))


def test_files_are_read_as_omegaconf_reads_them() -> None:
    root = folder("conf")
    files = [path for path in root.rglob("*.yaml") if path.parent.name != "calibration"]
    source = FileSource("main", f"file://{root}")
    for path in files:
        found = source.load_config(str(path.relative_to(root)))
        assert found.config == OmegaConf.load(path), path
        assert (found.header["package"] is None) == ("# @package" not in path.read_text()), path
    assert len(files) > 50
