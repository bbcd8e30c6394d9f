"""`check`: whether a plan is what its configuration, and what it was compiled from, compile to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from compiler import ConfigError, compile_plan, search
from compiler.commands import check, edits
from compiler.commands.check import run
from tests.diffed import PLANS

Capture = pytest.CaptureFixture[str]
GIVEN = ["model=llama3_1_8b", "hardware=h100_80gb", "parallel=tp8_adp2"]
HOSTS = "host,leaf,pod,rack\nnode0,l0,p0,r0\nnode1,l0,p0,r0\n"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan, its inventory and a group file."""
    place = tmp_path_factory.mktemp("check")
    (place / "hosts.csv").write_text(HOSTS)
    (place / "mine" / "workload").mkdir(parents=True)
    (place / "mine" / "workload" / "ours.yaml").write_text(
        "kind: serve\nglobal_batch_size: 32\nsequence_lengths: [1024]\noutput_length: 16\n"
    )
    compile_plan([*GIVEN, "workload=ours", f"hardware.inventory={place / 'hosts.csv'}"], place / "mine").write(
        place, "plan"
    )
    return place


@pytest.fixture
def place(compiled: Path, tmp_path: Path) -> Path:
    shutil.copytree(compiled, tmp_path / "place")
    return tmp_path / "place"


def sources(place: Path) -> list[str]:
    return [*GIVEN, "workload=ours", f"hardware.inventory={place / 'hosts.csv'}", f"--config-dir={place / 'mine'}"]


def asked(capsys: Capture, place: Path, *args: str) -> dict[str, Any]:
    code = run([str(place / "plan"), "--json", *args])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (0 if found["same"] else 1)
    return found


class TestSame:
    def test_a_plan_as_it_was_compiled(self, compiled: Path, capsys: Capture) -> None:
        assert run([str(compiled / "plan")]) == 0
        assert capsys.readouterr().out == "the same bytes\n"

    def test_with_what_it_was_compiled_from(self, compiled: Path) -> None:
        assert run([str(compiled / "plan"), *sources(compiled)]) == 0
        assert run([str(compiled / "plan"), *sources(compiled), "name=plan", "out=elsewhere"]) == 0

    def test_pools(self, tmp_path: Path) -> None:
        assert run([str(compile_plan(list(PLANS["pools"])).write(tmp_path, "pools"))]) == 0


class TestOther:
    def test_a_file_that_somebody_changed(self, place: Path, capsys: Capture) -> None:
        text = (place / "plan" / "slots.csv").read_text()
        (place / "plan" / "slots.csv").write_text(text.replace("node1", "node7"))
        (place / "plan" / "rank_map.csv").unlink()
        assert run([str(place / "plan")]) == 1
        out = capsys.readouterr().out.splitlines()
        assert out[0] == "other bytes"
        assert "  changed since: rank_map.csv: it is not there" in out
        assert any(line.startswith("  changed since: slots.csv: line 3: compiled 1,node1") for line in out)
        assert len(out) == 3

    def test_an_edited_configuration_says_what_would_differ(self, place: Path, capsys: Capture) -> None:
        text = (place / "plan" / "config.yaml").read_text()
        (place / "plan" / "config.yaml").write_text(text.replace("output_length: 16", "output_length: 32"))
        found = asked(capsys, place)
        assert [edit["file"] for edit in found["changed"]] == ["config.yaml"]
        assert "plan.json" in [edit["file"] for edit in found["other"]]

    def test_another_version(self, place: Path, capsys: Capture) -> None:
        manifest = json.loads((place / "plan" / "manifest.json").read_text())
        (place / "plan" / "manifest.json").write_text(json.dumps({**manifest, "rankplan": "0.0.1"}, indent=1))
        with mock.patch.object(check, "__version__", "0.1.0"):
            assert run([str(place / "plan")]) == 1
        out = capsys.readouterr().out
        assert "compiled by rankplan 0.0.1, this is 0.1.0" in out
        assert "would differ: manifest.json: rankplan: compiled " in out

    def test_a_file_that_nothing_writes_any_more(self, place: Path, capsys: Capture) -> None:
        (place / "plan" / "old.csv").write_text("a\n")
        manifest = json.loads((place / "plan" / "manifest.json").read_text())
        manifest["files"]["old.csv"] = edits.sha256(place / "plan" / "old.csv")
        (place / "plan" / "manifest.json").write_text(json.dumps(manifest, indent=1))
        assert {"file": "old.csv", "what": "nothing writes it any more"} in asked(capsys, place)["other"]

    def test_a_configuration_that_no_longer_compiles(self, place: Path, capsys: Capture) -> None:
        text = (place / "plan" / "config.yaml").read_text()
        (place / "plan" / "config.yaml").write_text(text.replace("  tp: 8\n", "  tp: 3\n"))
        found = asked(capsys, place)
        assert any("it does not compile" in edit["what"] for edit in found["changed"])


class TestInputs:
    def test_an_inventory_that_changed_is_named_with_its_line(self, place: Path, capsys: Capture) -> None:
        (place / "hosts.csv").write_text(HOSTS.replace("node1", "node9"))
        found = asked(capsys, place, *sources(place))["inputs"]
        assert found == [
            {
                "file": str(place / "hosts.csv"),
                "what": "hardware.inventory: line 3: was node1,l0,p0,r0, is node9,l0,p0,r0",
            }
        ]

    def test_one_that_is_not_there(self, place: Path, capsys: Capture) -> None:
        (place / "hosts.csv").unlink()
        found = asked(capsys, place, *sources(place))["inputs"]
        assert [edit["what"] for edit in found] == ["hardware.inventory names it, and it is not there"]

    def test_a_group_file_is_named(self, place: Path, capsys: Capture) -> None:
        path = place / "mine" / "workload" / "ours.yaml"
        path.write_text(path.read_text().replace("32", "64"))
        found = asked(capsys, place, *sources(place))["inputs"]
        assert found == [{"file": str(path), "what": "workload.global_batch_size: was 32, is 64"}]

    def test_an_override_that_is_another(self, place: Path, capsys: Capture) -> None:
        found = asked(capsys, place, *sources(place), "launch.time_limit=01:00:00")["inputs"]
        assert found == [{"file": "launch.time_limit=01:00:00", "what": "launch.time_limit: was 24:00:00, is 01:00:00"}]


@pytest.mark.parametrize(
    "what", ["nothing", "an empty folder", "a folder without a manifest", "one without config.yaml"]
)
def test_what_is_no_plan_folder_is_bad_input(place: Path, what: str) -> None:
    path = place / "plan"
    if what == "nothing":
        shutil.rmtree(path)
    elif what == "an empty folder":
        shutil.rmtree(path)
        path.mkdir()
    else:
        (path / ("manifest.json" if "manifest" in what else "config.yaml")).unlink()
    with pytest.raises(ConfigError, match="is no plan folder: it has no manifest"):
        run([str(path)])


def test_overrides_that_are_none_are_bad_input(compiled: Path) -> None:
    with pytest.raises(ConfigError, match=r"workload\.batch is not a setting"):
        run([str(compiled / "plan"), "workload.batch=1"])


def test_a_search_is_made_again_for_its_best_plan(capsys: Capture, tmp_path: Path) -> None:
    given = [
        "parallel=auto",
        "framework=vllm",
        *GIVEN[:2],
        "hardware.nodes=1",
        "search.vary={workload.global_batch_size: [8]}",
    ]
    folder = search(given).best.write(tmp_path, "best")
    assert run([str(folder), *given]) == 0
    assert capsys.readouterr().out == "the same bytes\n"
    assert run([str(folder), *given, "hardware.gpu.memory_bandwidth=1e12"]) == 1
    assert "hardware.gpu.memory_bandwidth" in capsys.readouterr().out
