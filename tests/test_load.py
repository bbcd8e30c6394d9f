"""What loading makes of values that YAML reads in its own way."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from compiler.config.load import load_config
from compiler.config.source import FileConfigSource
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
    ("written", "read"), [("no", "False"), ("1e3", "1000.0"), ("null", "None"), ("[a]", r"\[\.\.\.\]")]
)
def test_words_that_yaml_reads_as_something_else_are_refused(tmp_path: Path, written: str, read: str) -> None:
    folder = launch_file(tmp_path, f"{{A: {written}}}")
    with pytest.raises(ConfigError, match=rf"launch.environment.A={read} is no text ; write one value, in quotes"):
        load_config(["scheduler=[]", "launch=mine"], str(folder))


def test_files_are_read_as_omegaconf_reads_them() -> None:
    root = folder("conf")
    files = [path for path in root.rglob("*.yaml") if path.parent.name != "calibration"]
    source = FileConfigSource("main", f"file://{root}")
    for path in files:
        found = source.load_config(str(path.relative_to(root)))
        assert found.config == OmegaConf.load(path), path
        assert (found.header["package"] is None) == ("# @package" not in path.read_text()), path
    assert len(files) > 50


class TestInventory:
    def table(self, folder: Path, hosts: int) -> str:
        path = folder / "hosts.csv"
        path.write_text("host,leaf,pod,rack\n" + "".join(f"n{i},l,p,r\n" for i in range(hosts)))
        return f"hardware.inventory={path}"

    def nodes(self, *overrides: str) -> int:
        return load_config(["scheduler=[]", *overrides]).hardware.nodes

    def test_its_hosts_are_the_nodes_less_the_spares(self, tmp_path: Path) -> None:
        given = self.table(tmp_path, 7)
        assert self.nodes(given) == 7
        assert self.nodes(given, "launch.spare_nodes=2") == 5
        assert self.nodes(given, "hardware.nodes=3") == 3

    def test_pools_have_spares_of_their_own(self, tmp_path: Path) -> None:
        pools = "workload.pools={prefill:{spare_nodes:1},decode:{spare_nodes:2}}"
        assert self.nodes(self.table(tmp_path, 7), pools) == 4

    def test_a_table_in_a_configuration_leaves_the_nodes_that_stand_beside_it(self, tmp_path: Path) -> None:
        self.table(tmp_path, 7)
        (tmp_path / "hardware").mkdir()
        text = (folder("conf") / "hardware" / "h200.yaml").read_text()
        (tmp_path / "hardware" / "mine.yaml").write_text(
            text + 'inventory: "host,leaf,pod,rack\\na,l,p,r\\nb,l,p,r\\n"\n'
        )
        assert load_config(["scheduler=[]", "hardware=mine"], str(tmp_path)).hardware.nodes > 2

    def test_more_spares_than_hosts_are_for_the_rules_to_say(self, tmp_path: Path) -> None:
        assert self.nodes(self.table(tmp_path, 2), "launch.spare_nodes=3") == self.nodes()


def test_a_variable_that_is_null_on_the_command_line_is_taken_away(tmp_path: Path) -> None:
    launch_file(tmp_path, "{A: x, B: y}")
    config = load_config(["scheduler=[]", "launch=mine", "launch.environment.A=null"], str(tmp_path))
    assert config.launch.environment == {"B": "y"}
