"""Maps of experts in plans: what servers are started with, what a loss takes, and the records that loads come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from compiler import compile_plan
from compiler.commands import edits, impact, show
from compiler.costs.arrays import array
from compiler.costs.case import DEGREES
from compiler.costs.many import Many
from compiler.costs.project import project
from compiler.errors import ConfigError, InvariantError
from compiler.layout import recorded
from compiler.layout.experts import label, ranges
from compiler.runtime import rank_map as runtime_rank_map
from compiler.speed import calibrated
from tests.command import BARE
from tests.test_balance import power_law


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def loads_file(tmp_path: Path, layers: int = 6, experts: int = 64) -> Path:
    """Two passes; the first two layers are dense, and nothing is counted there."""
    counts = np.round(power_law(layers, experts, 1.5) * 1e6)
    counts[:2] = 0
    np.savez(tmp_path / "loads.npz", logical_count=np.stack([counts, counts]))
    return tmp_path / "loads.npz"


MODEL = [
    *("model=moe_30b", "model.num_hidden_layers=6", "model.first_k_dense_replace=2", "model.intermediate_size=2048"),
    *("~expect", BARE, "hardware=h200", "hardware.nodes=2", "workload.precision=bf16"),
]


class TestPlan:
    def test_a_map_for_every_layer_lies_in_the_plan(self, tmp_path: Path) -> None:
        args = ["framework=sglang", "framework.args=[--ep-num-redundant-experts,16]", "parallel=tp16_adp1_ep16_etp1"]
        plan = compile_plan([*MODEL, *args, f"experts.load={loads_file(tmp_path)}"])
        folder = plan.write(tmp_path, "plan")
        found = json.loads((folder / "experts.json").read_text())
        assert (found["gpus"], found["experts"], found["slots"]) == (16, 64, 80)
        assert [row["layer"] for row in found["layers"]] == [2, 3, 4, 5]
        assert 1 <= found["imbalance"] < 1.1 < found["imbalance_before"]
        told = json.loads((folder / "framework/expert_location.json").read_text())
        assert list(told) == ["physical_to_logical_map"]  # SGLang hands every key on, and knows no other
        rows = told["physical_to_logical_map"]
        assert rows[2:] == [row["experts"] for row in found["layers"]]
        assert rows[0] == [slot % 64 for slot in range(80)]
        assert all(set(row) == set(range(64)) for row in rows)

    def test_costs_are_those_of_the_map(self, tmp_path: Path) -> None:
        """And of the server's own placement where it is asked for that; a search costs both likewise."""
        args = ["framework=sglang", "framework.args=[--ep-num-redundant-experts,16]", "parallel=tp16_adp1_ep16_etp1"]
        given = [*MODEL, *args, f"experts.load={loads_file(tmp_path)}"]
        mapped, own = compile_plan(given), compile_plan([*given, "framework.expert_layout=trivial"])
        found = json.loads((mapped.write(tmp_path, "mapped") / "experts.json").read_text())
        for plan, uneven in ((mapped, found["imbalance"]), (own, found["imbalance_before"])):
            assert plan.contents["experts"]["imbalance"] == pytest.approx(uneven)
            degrees: dict[str, Any] = {name: array([getattr(plan.config.degrees, name)]) for name in DEGREES}
            many = Many(**degrees)
            searched = project(plan.config, many, calibrated.of(plan.config))
            assert searched["ttft_s"][0] == pytest.approx(plan.costs.prefill[-1].ttft_s, rel=1e-9)
        times = [[row.tpot_s for row in plan.costs.decode] for plan in (mapped, own)]
        assert all(fast < slow for fast, slow in zip(*times, strict=True))
        assert mapped.costs.memory.total_bytes.max() < own.costs.memory.total_bytes.max()
        said = (tmp_path / "mapped/report.md").read_text()
        assert "| `experts.json`, as planned |" in said
        assert f"{found['experts_moved']} experts are copied" in said

    def test_a_new_map_moves_least_from_the_last_one(self, tmp_path: Path) -> None:
        args = ["framework=sglang", "parallel=tp16_adp1_ep16_etp1", f"experts.load={loads_file(tmp_path)}"]
        first = compile_plan([*MODEL, *args]).write(tmp_path, "first")
        last = f"experts.last={first / 'experts.json'}"
        again = compile_plan([*MODEL, *args, last]).write(tmp_path, "again")
        assert json.loads((again / "experts.json").read_text())["experts_moved"] == 0
        assert edits.of_folder(again) == list(edits.again(again, edits.compiled(again))) == []
        (tmp_path / "empty").write_text("{}\n")
        wrong = (first / "experts.json").read_text().replace(" 63", " 64")
        with pytest.raises(ConfigError, match=r"experts\.last has experts that are none of 0 to 63"):
            compile_plan([*MODEL, *args, f"experts.last={written(tmp_path / 'wrong', wrong)}"])
        smaller = ["parallel=tp8_adp1_ep8_etp1", "hardware.nodes=1"]
        with pytest.raises(ConfigError, match=r"experts\.last is of 16 ranks"):
            compile_plan([*MODEL, *args, last, *smaller])
        with pytest.raises(ConfigError, match=r"is no experts\.json"):
            compile_plan([*MODEL, *args, f"experts.last={tmp_path / 'empty'}"])

    def test_a_loss_takes_the_copies_of_each_layer(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        args = ["framework=sglang", "framework.args=[--ep-num-redundant-experts,16]", "parallel=tp16_adp1_ep16_etp1"]
        folder = compile_plan([*MODEL, *args, f"experts.load={loads_file(tmp_path)}"]).write(tmp_path, "plan")
        assert impact.run([str(folder), "--json", "--lost", "gpu=0/3", "gpu=1/2"]) == 0
        found = json.loads(capsys.readouterr().out)["survives"]["lost_experts_by_layer"]
        for row in json.loads((folder / "experts.json").read_text())["layers"]:
            slots = np.array(row["experts"]).reshape(16, 5)
            kept = set(np.delete(slots, [3, 10], axis=0).ravel().tolist())
            assert found.get(str(row["layer"]), []) == sorted(set(range(64)) - kept)
        assert impact.run([str(folder), "--lost", "gpu=0/3"]) == 0
        assert " of layer 2, " in capsys.readouterr().out
        assert show.run([str(folder), "rank=3"]) == 0
        third = sorted(set(json.loads((folder / "experts.json").read_text())["layers"][0]["experts"][15:20]))
        assert f"differ by layer: 2: {label(ranges(third))}, 3: " in capsys.readouterr().out

    def test_as_tensorrt_llm_reads_it(self, tmp_path: Path) -> None:
        given = [
            *MODEL,
            "framework=tensorrt_llm",
            "parallel=tp16_adp1_ep16_etp1",
            f"experts.load={loads_file(tmp_path)}",
        ]
        folder = compile_plan(given).write(tmp_path, "plan")
        found = yaml.safe_load((folder / "framework/moe_load_balancer.yaml").read_text())
        assert (found["num_slots"], found["layer_updates_per_iter"]) == (64, 0)
        assert sorted(found["initial_global_assignments"]) == [2, 3, 4, 5]
        assert sorted(found["initial_global_assignments"][2]) == list(range(64))

    def test_servers_are_started_with_it(self, tmp_path: Path) -> None:
        loads = f"experts.load={loads_file(tmp_path)}"
        base = [*MODEL, loads, "scheduler=[slurm,jobset]", "hardware=h200"]
        sglang = [*base, "framework=sglang", "parallel=tp16_adp1_ep16_etp1"]
        plan = compile_plan(sglang)
        folder = plan.write(tmp_path, "sglang")
        told = "--init-expert-location={RANKPLAN_PLAN}/framework/expert_location.json"
        assert told in (folder / "framework/args").read_text().replace("'", "")
        pods = "".join(path.read_text() for path in (folder / "kubernetes").iterdir())
        assert "physical_to_logical_map" in pods
        assert set(plan.rank_map["experts"].tolist()) == {"*"}
        launch = json.loads((folder / "runtime/launch.json").read_text())
        assert runtime_rank_map.computed(str(folder), launch, 3)["experts"] == "*"
        own = compile_plan([*sglang, "framework.expert_layout=trivial"])
        assert set(own.rank_map["experts"].tolist()) != {"*"}

    def test_tensorrt_llm_is_told_in_its_options(self, tmp_path: Path) -> None:
        given = [
            *MODEL,
            "framework=tensorrt_llm",
            "parallel=tp1_adp16_ep16_etp1",
            f"experts.load={loads_file(tmp_path)}",
        ]
        folder = compile_plan(given).write(tmp_path, "plan")
        found = yaml.safe_load((folder / "framework/llm_api.yaml").read_text())["moe_config"]["load_balancer"]
        assert (found["num_slots"], found["layer_updates_per_iter"]) == (64, 0)
        rows = {row["layer"]: row["experts"] for row in json.loads((folder / "experts.json").read_text())["layers"]}
        assert found["initial_global_assignments"] == rows

    @pytest.mark.parametrize("load", ["1e308", "5e-324"])
    def test_loads_at_the_ends_of_what_a_number_holds(self, tmp_path: Path, load: str) -> None:
        rows = (f"{layer},{expert},{load if expert % 16 else 0}\n" for layer in (2, 3, 4, 5) for expert in range(64))
        (tmp_path / "loads.csv").write_text("layer,expert,load\n" + "".join(rows))
        args = ["framework=sglang", "parallel=tp16_adp1_ep16_etp1", f"experts.load={tmp_path / 'loads.csv'}"]
        assert 1 <= compile_plan([*MODEL, *args]).contents["experts"]["imbalance"] < 1.1

    def test_loads_of_another_model_are_refused_as_such(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "loads.npz", logical_count=np.ones((6, 63)))
        args = ["framework=sglang", "parallel=tp16_adp1_ep16_etp1", f"experts.load={tmp_path / 'loads.npz'}"]
        with pytest.raises(InvariantError, match=r"expert-loads: experts\.load has 63 experts a layer"):
            compile_plan([*MODEL, *args])

    def test_none_without_loads_or_ranks_to_choose_from(self, tmp_path: Path) -> None:
        plain = compile_plan([*MODEL, "parallel=tp16_adp1_ep16_etp1"]).write(tmp_path, "plain")
        alone = compile_plan([*MODEL, "parallel=tp16", f"experts.load={loads_file(tmp_path)}"]).write(tmp_path, "alone")
        assert not (plain / "experts.json").exists()
        assert not (alone / "experts.json").exists()


class TestRecords:
    def test_of_numpy_torch_and_json_are_one(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        counts = np.arange(12.0).reshape(3, 4)
        counts[0] = 0
        np.savez(tmp_path / "a.npz", counts)
        (tmp_path / "a.json").write_text(json.dumps({"logical_count": counts.tolist()}))
        torch.save({"rank": 0, "logical_count": torch.tensor(counts)[None]}, tmp_path / "a.pt")
        texts = {recorded.table(name, (tmp_path / name).read_bytes()) for name in ("a.npz", "a.json", "a.pt")}
        assert texts == {"layer,expert,load\n" + "".join(f"{i // 4},{i % 4},{i}\n" for i in range(4, 12))}

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"PK\x03\x04 cut off", "is no archive of arrays"),
            (b"{}", "holds none of logical_count, load"),
            (b'{"load": ["a"]}', "holds no array of numbers"),
            (b'{"load": [1, 2]}', "an array of shape (2,), which is no load"),
            (b'{"load": [[1, -2]]}', "an array of shape (1, 2), which is no load"),
            (b'{"load": [[0, 0]]}', "no expert of any layer got a token"),
            (b"{", "is not JSON"),
        ],
    )
    def test_of_nothing_are_refused(self, data: bytes, said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            recorded.table("FILE", data)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 no archive", b"[1]", b'{"load": [[1' + b"0" * 400 + b"]]}", b'{"load": "a"}']
)
def test_a_record_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "load.npz").write_bytes(content)
    given = ["model=qwen3_30b_a3b", "parallel=ep8", "hardware=h200", "hardware.nodes=1", "scheduler=[]"]
    with pytest.raises(ConfigError):
        compile_plan([*given, f"experts.load={tmp_path / 'load.npz'}"])
