"""A user's mistake is one line of `what ; instead` on stderr, the right exit code, and nothing on disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler import InvariantError
from compiler.passes import compile_config
from compiler.render.assets import folder
from compiler.schedulers import registry
from compiler.specs.degrees import resolve
from tests.command import BARE, STRATEGY, Ran, call, degrees_of, program, tree
from tests.configs import changed, composed

HF = Path(__file__).parent / "data" / "hf"


def refused(cwd: Path, *args: str, code: int) -> Ran:
    """Run, and hold the contract of every refusal."""
    before = tree(cwd)
    ran = call(*args, cwd=cwd)
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert ran.errors
    for line in ran.errors:
        assert re.fullmatch(r"error: .+ ; .+", line), line
        assert "object at 0x" not in line
        assert "hydra.cc" not in line
    assert tree(cwd) == before
    return ran


SPELLINGS = [
    ("typo=1", "typo is not a setting"),
    ("+modle=moe_30b", "did you mean model?"),
    ("hardware.typo=1", "hardware.typo is not a setting"),
    ("+hardware.typo=1", "hardware.typo is not a setting"),
    ("++hardware.gpu.memory_byte=1", "did you mean memory_bytes?"),
    ("hardware={nodes:1,typo:2}", "hardware.typo is not a setting"),
    ("scheduler.slurm.partition=gpu", "scheduler.slurm is not a setting"),
    ("+scheduler.slurm.typo=1", "scheduler.slurm.typo is not a setting"),
    ("parallel=8", "write one of degrees, as in"),
    ("parallel=null", "write one of degrees, as in"),
    ("parallel=ep8_tq8", "'tq8' is not a degree"),
    ("parallel=tp-4", "'tp-4' is not a degree"),
    ("parallel=tp0", "tp=0 is below 1"),
    ("parallel=foo", "parallel=foo is not known"),
    ("parallel.adp=64", "parallel.dp=4 and parallel.adp=64 exclude each other"),
    ("hardware=nope", "write one of a100_40gb"),
    ("expect=nope", "expect=nope is not known"),
    ("expect=null", "or ~expect for none"),
    ("scheduler=[nope]", "scheduler=nope is not known"),
    ("nodes", "'nodes' is no override"),
    ("name=a=b", "an override cannot be read"),
    ("out=~/plans", "out=~/plans cannot be read"),
    ("launch.environment.A=1,2", "launch.environment.A=1,2 has several values"),
    ("hardware.nodes=${nope}", "hardware.nodes: Interpolation key 'nope' not found"),
]

TYPES = [
    ("parallel.tp=1.5", "'1.5' of type 'float'"),
    ("parallel.tp=true", "'True' of type 'bool'"),
    ("parallel.tp=null", "not Optional"),
    ("hardware.nodes=many", "'many' of type 'str'"),
    ("hardware.nodes=???", "hardware.nodes has no value"),
    ("hardware.inventory=nope.csv", "hardware.inventory=nope.csv cannot be read"),
    ("model.hf_config=nope.json", "model.hf_config=nope.json cannot be read"),
    ("launch.environment.A=null", "launch.environment.A=None is no text"),
    ("expect.strict=maybe", "not a valid bool"),
    ("launch.command=train.py", "launch.command=train.py is not a list ; write key=[a,b]"),
]

VALUES = {
    "parallel.tp=0": "parallel.tp=0 is below 1",
    "parallel.ep=-4": "parallel.ep=-4 is below 1",
    "parallel.order=tp-tp-cp-dp-pp": "write each of tp, cp, ep, dp, pp once",
    "parallel.stages=[0,16]": "parallel.stages[0]=0 is below 1",
    "hardware.gpu.memory_bytes=nan": "not a finite number",
    "hardware.gpu.memory_efficiency=1.5": "is above 1",
    "hardware.fabric.kind=ring": "write one of rail_optimized, fat_tree, flat",
    "model.moe_layer_freq=[1,0]": "2 entries for 16 layers",
    "model.layer_types=[full_attention]": "1 entries for 16 layers",
    "name=../x": "name=../x cannot name a folder",
    "sweep=../x": "sweep=../x cannot name a folder",
    "out=": "out= names no folder",
    "workload.sequence_lengths=[]": "workload.sequence_lengths has no value",
    "workload.pools={prefill: {instances: 1}}": "workload.pools.decode has no value",
    "placement=best": "placement=best is not available",
    "launch.environment={A: [1]}": "launch.environment.A=[1] is no text",
    "launch.unit=core": "write one of rank, node",
    "launch.workdir='/caf\udce9'": "which is no character ; write it in UTF-8",
}

MORE_VALUES = {
    "name=" + "a" * 101: "up to 100 letters",
    "model.moe_layer_freq=often": "neither a period nor a list",
    "workload.kind=train": "workload.sequence_length has no value",
    "framework.name=nope": "framework.name=nope is not a known framework",
}

RELATIONS = [
    (
        ["parallel=ep3_tp3_pp3", "launch.environment.HF_TOKEN=abc", "launch.environment.X=AKIAABCDEFGHIJKLMNOP"],
        {
            "experts: num_experts 64 over ep=3",
            "attention-heads: num_attention_heads 16 over tp=3",
            "hidden-size: hidden_size 1024 over tp=3",
            "layers-to-stages: 16 layers over 3 stages",
            "batch: global_batch_size 128 over adp=3",
            "world-size: tp3 x cp1 x adp3 x pp3 = 27 ranks; the cluster has 128 nodes x 8 GPUs = 1024",
            "write launch.secrets.HF_TOKEN=FILE",
            "launch.environment.X looks like a secret",
        },
    ),
    (["parallel=tp4_pp4_adp24_ep64"], {"expert-grid: a stage of tp4 x cp1 x adp24 = 96 ranks", "batch: "}),
    (
        ["hardware.gpu.memory_bytes=4e9", "hardware.pin=true", "parallel.dp=2"],
        {"memory: rank ", "hardware.pin=true has no hosts", "world-size: "},
    ),
    (["parallel.stages=[4,4,4,5]"], {"hold 17 of 16 layers"}),
]


class TestOverrides:
    @pytest.mark.parametrize(("override", "said"), [*SPELLINGS, *TYPES])
    def test_one(self, tmp_path: Path, override: str, said: str) -> None:
        assert said in refused(tmp_path, BARE, override, code=2).err

    @pytest.mark.parametrize("values", [VALUES, MORE_VALUES])
    def test_every_bad_value_is_listed(self, tmp_path: Path, values: dict[str, str]) -> None:
        ran = refused(tmp_path, BARE, *values, code=2)
        for said in values.values():
            assert sum(said in line for line in ran.errors) == 1, (said, ran.err)

    @pytest.mark.parametrize(("overrides", "said"), RELATIONS)
    def test_every_broken_invariant_is_listed(self, tmp_path: Path, overrides: list[str], said: set[str]) -> None:
        ran = refused(tmp_path, BARE, *overrides, code=3)
        assert [text for text in said if text not in ran.err] == []

    @pytest.mark.parametrize("option", ["--foo", "--foo=1", "-z", "--cfg=nope", "--config-dir"])
    def test_an_option(self, tmp_path: Path, option: str) -> None:
        assert "command line: " in refused(tmp_path, BARE, option, code=2).err

    def test_two_kubernetes_controllers(self, tmp_path: Path) -> None:
        controllers = [name for name in registry.names() if registry.target(name).kubernetes]
        if len(controllers) < 2:
            pytest.skip(f"there is one controller, {controllers[0]}")
        ran = refused(tmp_path, f"scheduler=[{controllers[0]},{controllers[1]}]", code=2)
        assert "keep one of them" in ran.err

    def test_a_process_says_it_all_the_same(self, tmp_path: Path) -> None:
        ran = program("parallel=ep8_tq8", cwd=tmp_path)
        assert (ran.code, ran.out, len(ran.errors)) == (2, "", 1)
        assert "Traceback" not in ran.err
        assert not tree(tmp_path)


@pytest.mark.parametrize(
    ("degrees", "nodes", "proposed"),
    [
        ("ep16_tp4_pp4_dp4", 48, ["ep16_tp2_pp4_dp3", "ep16_tp4_pp2_dp3", "ep8_tp4_pp4_dp3"]),
        ("ep16_tp4_pp4_dp4", 16, None),
        ("ep8_tp4_pp4_dp2", 128, None),
    ],
)
def test_the_degrees_proposed_for_a_cluster_fit_it(degrees: str, nodes: int, proposed: list[str] | None) -> None:
    base = changed(composed(), {"hardware.nodes": nodes, "workload.global_batch_size": 9216})
    base = changed(base, {"workload.sequence_lengths": [128]})
    with pytest.raises(InvariantError) as caught:
        compile_config(changed(base, {"parallel": degrees_of(degrees)}))
    (fix,) = [problem.instead for problem in caught.value.problems if "world-size" in problem.what]
    names = re.findall(r"parallel=(\S+)", fix)
    assert len(set(names)) == 3
    assert proposed is None or set(names) == set(proposed)
    assert re.findall(r"hardware\.nodes=(\d+)", fix) == [str(resolve(degrees_of(degrees), moe=True).world_size // 8)]
    for name in names:
        assert compile_config(changed(base, {"parallel": degrees_of(name)})).world_size == nodes * 8


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
    ("list", "- 1\n- 2\n", "in hardware/lab"),
    ("text", "just text\n", "in hardware/lab"),
    ("empty", "", "hardware.nodes has no value"),
    ("missing", "nodes: 4\n", "hardware.gpu.memory_bytes has no value"),
    ("type", lab(nodes="nodes: many"), "hardware.nodes: Value 'many' of type 'str'"),
    ("key", lab(nodes="node_count: 4"), "node_count is not a setting (in hardware/lab)"),
    ("nested key", lab(memory_bytes="memory_byte: 4"), "memory_byte is not a setting (in hardware/lab)"),
    ("defaults", "defaults: [nope]\nnodes: 4\n", "hardware=nope is not known"),
    ("environment", lab(nodes="nodes: ${oc.env:RANKPLAN_NOPE}"), "'RANKPLAN_NOPE' not found"),
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
            ("host,leaf,pod,rack\na,1,1,1\n", 3, "has 1 hosts, the plan 128 nodes"),
        ],
    )
    def test_an_inventory(self, tmp_path: Path, text: str, code: int, said: str) -> None:
        (tmp_path / "hosts.csv").write_text(text)
        assert said in refused(tmp_path, BARE, "hardware.inventory=hosts.csv", code=code).err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB; a plan of the strategy is larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class TestWriting:
    def test_a_disk_that_fills(self, small_disk: Path) -> None:
        small = [BARE, "parallel=ep8_tp8", "hardware.nodes=8", "name=plan"]
        assert call(*small, cwd=small_disk).code == 0
        ran = refused(small_disk, BARE, "name=plan", "graph=true", code=4)
        assert "No space left on device" in ran.err
        assert "out/plan cannot be written" in ran.err

    def test_a_disk_that_is_read_only(self, small_disk: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        assert "Read-only file system" in refused(small_disk, BARE, code=4).err

    @pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
    def test_a_folder_without_permission(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir(mode=0o500)
        assert "Permission denied" in refused(tmp_path, BARE, code=4).err

    @pytest.mark.parametrize("out", ["file", "file/far/below", "/proc/x", "dangling"])
    def test_an_out_that_is_no_folder(self, tmp_path: Path, out: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "dangling").symlink_to("nowhere")
        assert "cannot be written" in refused(tmp_path, BARE, f"out={out}", code=4).err

    @pytest.mark.parametrize("place", ["file", "link", "dangling link"])
    def test_a_place_that_is_taken(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "elsewhere").mkdir()
        taken = tmp_path / "out" / STRATEGY
        if place == "file":
            taken.write_text("mine")
        else:
            taken.symlink_to("../elsewhere" if place == "link" else "nowhere")
        assert "a file or link is in the folder's place" in refused(tmp_path, BARE, code=4).err

    def test_folders_made_on_the_way_are_taken_away_again(self, tmp_path: Path) -> None:
        ran = refused(tmp_path, BARE, "out=a/b/c/" + "d" * 300, code=4)
        assert "File name too long" in ran.err
