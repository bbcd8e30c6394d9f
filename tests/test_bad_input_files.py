"""A file that cannot be read, or not be taken, is named in one line with what to write instead."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from compiler.render.assets import folder
from tests.command import BARE, refused

HF = Path(__file__).parent / "data" / "hf"


def lab(**changes: str) -> str:
    """A hardware file with lines replaced."""
    text = (folder("conf") / "hardware" / "generic_64gb.yaml").read_text()
    for key, line in changes.items():
        text, count = re.subn(rf"^( *){key}: .*$", rf"\1{line}", text, flags=re.MULTILINE)
        assert count
    return text


FILES = [
    ("syntax", "gpus: [1\n", "is no YAML"),
    ("tag", "nodes: !!python/object:os.system 4\n", "is no YAML"),
    ("twice", "nodes: 4\nnodes: 5\n", "duplicate key nodes"),
    ("endless", "nodes: &a [*a]\n", "holds itself"),
    ("binary", "\x00\x01", "is no YAML"),
    ("list", "- 1\n- 2\n", "lab.yaml holds no mapping"),
    ("text", "just text\n", "lab.yaml holds no mapping"),
    ("empty", "", "hardware.nodes has no value"),
    ("missing", "nodes: 4\n", "hardware.gpu.memory_bytes has no value"),
    ("type", lab(nodes="nodes: many"), "hardware.nodes: Value 'many' of type 'str'"),
    ("key", lab(nodes="node_count: 4"), "node_count is not a setting (in hardware/lab)"),
    ("nested key", lab(memory_bytes="memory_byte: 4"), "memory_byte is not a setting (in hardware/lab)"),
    ("defaults", "defaults: [nope]\nnodes: 4\n", "hardware=nope is not known"),
    (
        "environment",
        lab(nodes="nodes: ${oc.env:RANKPLAN_NOPE}"),
        "hardware.nodes: ${oc.env:RANKPLAN_NOPE} asks the machine",
    ),
]


class TestFiles:
    @pytest.mark.parametrize(("text", "said"), [item[1:] for item in FILES], ids=[item[0] for item in FILES])
    def test_a_group_file(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "hardware").mkdir()
        (tmp_path / "hardware" / "lab.yaml").write_text(text)
        assert said in refused(tmp_path, BARE, "--config-dir", ".", "hardware=lab", code=2).err

    def test_a_group_file_that_ours_would_hide(self, tmp_path: Path) -> None:
        (tmp_path / "hardware").mkdir()
        shutil.copy(folder("conf") / "hardware" / "generic_64gb.yaml", tmp_path / "hardware")
        (tmp_path / "hardware" / "h200.yaml").write_text("nodes: 5\n")
        (line,) = refused(tmp_path, BARE, "--config-dir", ".", "hardware=h200", code=2).errors
        assert "hardware/h200.yaml has the name of a file of ours" in line

    def test_a_group_file_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "hardware").mkdir()
        (tmp_path / "hardware" / "lab.yaml").write_bytes(b"nodes: \xff\xfe\n")
        assert "write it as UTF-8" in refused(tmp_path, BARE, "--config-dir", ".", "hardware=lab", code=2).err

    def test_a_claim(self, tmp_path: Path) -> None:
        (tmp_path / "expect").mkdir()
        (tmp_path / "expect" / "mine.yaml").write_text("claims: [{id: a, statement: b, tolerance: -1}]\n")
        ran = refused(tmp_path, BARE, "--config-dir", ".", "expect=mine", code=2)
        assert "expect.claims[0].metric has no value" in ran.err
        assert "expect.claims[0].claimed has no value" in ran.err
        for key in ("value", "e"):
            ran = refused(tmp_path, BARE, f"expect.claims=[{{metric: x, {key}: 3}}]", code=2)
            assert f"expect.claims.{key} is not a setting" in ran.err

    @pytest.mark.parametrize("option", ["--config-dir=nope", "--config-dir=file", "--config-path=nope"])
    def test_a_folder_of_files_that_is_none(self, tmp_path: Path, option: str) -> None:
        (tmp_path / "file").touch()
        assert "is not a folder" in refused(tmp_path, BARE, option, code=2).err

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is not found"),
            ("hardware: {nodes: 1}\n", "start from the schema"),
            ("defaults: [nope]\n", "nope is not found"),
        ],
    )
    def test_a_primary_file(self, tmp_path: Path, text: str, said: str) -> None:
        if text:
            (tmp_path / "mine.yaml").write_text(text)
        assert said in refused(tmp_path, "--config-dir", ".", "--config-name", "mine", code=2).err

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"model_type": "unheard_of"}', "model_type=unheard_of, not a known family"),
            ("{", "is not JSON"),
            ('{"model_type": "llama"}', "has no hidden_size"),
        ],
    )
    def test_a_config_json(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "config.json").write_text(text)
        assert said in refused(tmp_path, BARE, "model.hf_config=config.json", code=2).err

    def test_a_config_json_of_a_model_that_the_degrees_do_not_suit(self, tmp_path: Path) -> None:
        ran = refused(tmp_path, BARE, f"model.hf_config={HF / 'llama.json'}", code=3)
        assert "ep=16, but llama has no experts" in ran.err

    @pytest.mark.parametrize(
        ("text", "code", "said"),
        [
            ("host,leaf\n", 2, "has no column pod, rack"),
            ("host,leaf,pod,rack\na b,1,1,1\n", 2, "line 2: 'a b' is not a host name"),
            ("host,leaf,pod,rack\na,1,1,1\n", 3, "the cluster has 1 nodes x 8 GPUs"),
        ],
    )
    def test_an_inventory(self, tmp_path: Path, text: str, code: int, said: str) -> None:
        (tmp_path / "hosts.csv").write_text(text)
        assert said in refused(tmp_path, BARE, "hardware.inventory=hosts.csv", code=code).err
