"""NVRx's ft_launcher as the command: what it is told, held against its own parser and its own numbering of nodes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.errors import ConfigError
from compiler.failures.renumbered import numbered
from compiler.frameworks.lifted import Silent, Source
from compiler.schedulers import nvrx
from compiler.schedulers.job import job
from compiler.schedulers.slurm import request
from compiler.schedulers.targets import slurm
from tests.fake_slurm import batch
from tests.plans import SmallPlan, files, plan, write
from tests.wheels import wheel

COMMAND = ["ft_launcher", "--ft-rank-heartbeat-timeout=450", "train.py", "--nnodes=x"]
RACKS = "host,leaf,pod,rack\n" + "".join(f"n{i:02d},l,p,r{i // 6}\n" for i in range(18))
"""Three racks of six nodes, where jobs use four."""


def source() -> Source:
    return Source("nvidia_resiliency_ext", wheel("nvidia_resiliency_ext", "0.7.0"))


def texts(made: SmallPlan) -> list[str]:
    words = json.loads(str(files(made)["runtime/launch.json"].text))["command"]
    return [word if isinstance(word, str) else word["text"] for word in words]


def found(made: SmallPlan) -> dict[str, str]:
    return {check.id: check.status.value for check in nvrx.checks(made.world)}


def wide(**launch: Any) -> SmallPlan:
    """Twelve nodes, four in each of three racks, pinned, with the other two of each as spares."""
    return plan(12, 4, hosts=RACKS, pin=True, domain_gpus=16, command=COMMAND, spare_nodes=6, **launch)


def test_it_is_told_nodes_spares_and_segments() -> None:
    told = ["--nproc-per-node=4", "--rdzv-backend=c10d", "--rdzv-endpoint={MASTER_HOST}:{MASTER_PORT}"]
    made = plan(2, 4, command=COMMAND, spare_nodes=1, max_restarts=5)
    assert texts(made) == ["ft_launcher", "--nnodes=2:3", *told, "--max-restarts=5", *COMMAND[1:]]
    assert texts(wide()) == ["ft_launcher", "--nnodes=12:18", *told, "--ft-segment=4", "--max-restarts=3", *COMMAND[1:]]
    own = ["python3", "-m", nvrx.MODULES[0], "--max_restarts", "0", "--no-python", "a"]
    assert texts(plan(2, 4, command=own)) == [*own[:3], "--nnodes=2:2", *told, *own[3:]]
    launched = job(made)
    assert (launched.unit, launched.standby, launched.requested_nodes) == ("node", 1, 3)
    assert [(name, value.text) for name, value in launched.computed] == [("CROSS_SLURM_PROCID", "{NODE_RANK}")]


def parser() -> argparse.ArgumentParser:
    """Its own, but for defaults that it takes from variables."""

    class Plain(argparse.Action):
        def __init__(self, nargs: Any = None, const: Any = None, **given: Any) -> None:
            super().__init__(nargs=nargs, const=const, **given)

        def __call__(self, _parser: Any, namespace: Any, values: Any, _option: Any = None) -> None:
            setattr(namespace, self.dest, values)

    package, names = source(), ["str_to_bool", "add_no_restart_args", "add_rendezvous_args", "add_log_funnel_args"]
    names += [
        "_add_argument",
        "_add_nnodes_arg",
        "_add_rendezvous_core_args",
        "_add_local_addr_arg",
        "_add_ft_segment_arg",
    ]
    names += ["_add_ft_config_file_arg", "add_ft_config_file_args", "_add_attribution_args", "add_attribution_args"]
    names += ["_add_cycle_info_arg", "add_cycle_info_args"]
    constants: dict[str, Any] = {
        "ATTRIBUTION_STOP_ACTIONS": ("log", "no-restart"),
        "DEFAULT_ATTRIBUTION_STOP_ACTION": "log",
    }
    constants |= {"DEFAULT_ATTRIBUTION_STARTUP_TIMEOUT": 60.0, "DEFAULT_NO_RESTART_EXIT_CODE": 93}
    shared = package.lift("fault_tolerance/cli_args.py", *names, argparse=argparse, **constants)
    own = package.lift(
        "fault_tolerance/launcher.py",
        "get_args_parser",
        ArgumentParser=argparse.ArgumentParser,
        REMAINDER=argparse.REMAINDER,
        env=Plain,
        check_env=Plain,
        signal=Silent(),
        **{name: getattr(shared, name) for name in names},
    )
    made: argparse.ArgumentParser = own.get_args_parser()
    return made


@pytest.mark.parametrize(
    ("made", "nodes", "segment"), [(plan(2, 4, command=COMMAND), "2:2", None), (wide(), "12:18", 4)]
)
def test_its_own_parser_reads_what_is_meant(made: SmallPlan, nodes: str, segment: int | None) -> None:
    words = [text.format(MASTER_HOST="n1", MASTER_PORT="10001") for text in texts(made)[1:]]
    read = parser().parse_args(words)
    assert (read.nnodes, read.nproc_per_node, read.ft_segment) == (nodes, "4", segment)
    assert (read.rdzv_backend, read.rdzv_endpoint, read.max_restarts) == ("c10d", "n1:10001", 3)
    assert (read.training_script, read.training_script_args) == ("train.py", ["--nnodes=x"])


def theirs(domains: list[int], segment: int | None, count: int, gone: set[int]) -> list[int] | None:
    """The nodes that NVRx gives ranks, in their order; None where it refuses."""
    path, own = "fault_tolerance/ft_rendezvous_barrier.py", "_RendezvousBarrierState."
    names = (f"{own}_sort_rankable_participants", f"{own}_assign_group_ranks")
    lifted = source().lift(path, *names, log=Silent(), defaultdict=defaultdict, format_rank_set_verbose=lambda _: "")
    rows = [(node, node, str(domain), None) for node, domain in enumerate(domains) if node not in gone]
    self = SimpleNamespace(segment=segment, _sort_rankable_participants=None)
    self._sort_rankable_participants = lambda *given: lifted._sort_rankable_participants(self, *given)
    try:
        ranks = lifted._assign_group_ranks(self, rows[::-1], count)
    except (ValueError, RuntimeError):
        return None
    active = sorted((rank, node) for node, rank in ranks.items() if rank < count)
    return [node for _, node in active]


@given(st.data())
def test_nodes_are_numbered_as_it_numbers_them(data: st.DataObject) -> None:
    domains = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=24))
    segment = data.draw(st.sampled_from([None, 1, 2, 3, 4]))
    count = data.draw(st.integers(1, len(domains)))
    gone = data.draw(st.sets(st.integers(0, len(domains) - 1), max_size=3))
    expected = theirs(domains, segment, count, gone)
    ours = numbered(domains, segment, count, gone)
    assert (None if len(ours) < count or count % (segment or 1) else ours) == expected


def test_a_nodes_number_is_its_slot_whatever_slurm_says() -> None:
    lifted = source().lift("fault_tolerance/utils.py", "get_infrastructure_rank", os=os, logger=Silent())
    said = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "9", "SLURM_TOPOLOGY_ADDR": "block5.node3"}
    said |= {"SLURM_TOPOLOGY_ADDR_PATTERN": "block.node", nvrx.NUMBER: "4"}
    with mock.patch.dict(os.environ, said):
        assert lifted.get_infrastructure_rank() == 4


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (plan(2, 4, command=COMMAND), {"nvrx-segment": "pass"}),
        (plan(2, 4, command=COMMAND, spare_nodes=1), {"nvrx-segment": "pass", "nvrx-renumbers": "warn"}),
        (plan(4, 4, command=COMMAND, spare_nodes=1, instances=2), {"nvrx-spares": "fail"}),
        (plan(4, 4, command=["ft_launcher", "--ft-segment=1", "a.py"]), {"nvrx-domains": "warn"}),
        (plan(6, 4, domain_gpus=16, command=["ft_launcher", "--ft-segment", "4", "a.py"]), {"nvrx-segment": "fail"}),
        (plan(6, 4, domain_gpus=16, command=["ft_launcher", "--ft-segment=3", "a.py"]), {"nvrx-segment": "fail"}),
        (wide(), {"nvrx-segment": "pass", "nvrx-renumbers": "warn"}),
        (plan(8, 4, domain_gpus=16, command=COMMAND, spare_nodes=2), {"nvrx-segment": "pass", "nvrx-waits": "warn"}),
        (plan(8, 4, domain_gpus=16, command=COMMAND, spare_nodes=4), {"nvrx-renumbers": "warn"}),
        (plan(2, 4), {}),
    ],
)
def test_what_contradicts_the_plan_is_said(made: SmallPlan, expected: dict[str, str]) -> None:
    checks = found(made)
    assert expected.items() <= checks.items()
    assert bool(expected) == bool(checks)


def test_a_loss_renumbers_no_more_than_is_said() -> None:
    """A rack that has spares keeps its segment; without them all behind it move."""
    told = nvrx.told(wide().world)
    assert told is not None
    assert (told.segment, told.renumbered) == (4, 4)
    bare = nvrx.told(plan(12, 4, domain_gpus=16, command=COMMAND, spare_nodes=4).world)
    assert bare is not None
    assert (bare.segment, bare.renumbered) == (4, 12)


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        (
            {"command": ["ft_launcher", "--nnodes=2:4", "a.py"]},
            "gives ft_launcher --nnodes=2:4, and the plan decides that",
        ),
        ({"command": ["ft_launcher", "--ft-segment=all", "a.py"]}, "--ft-segment=all, which is no number of nodes"),
        ({"command": ["ft_launcher", "--ft-segment"]}, "--ft-segment=, which is no number of nodes"),
        ({"command": COMMAND, "unit": "rank"}, "launch.unit=rank would start ft_launcher 4 times on each node"),
        (
            {"command": COMMAND, "environment": {"NVRX_INFRA_RANK_FROM_NODENAME": "1"}},
            "launch.environment gives ft_launcher NVRX_INFRA_RANK_FROM_NODENAME, and the plan numbers nodes",
        ),
    ],
)
def test_nodes_are_the_plans_to_number(launch: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match="launch") as refused:
        job(plan(2, 4, **launch))
    assert message in str(refused.value)


def test_slurm_starts_it_on_spares_too_and_outlives_a_node(tmp_path: Path) -> None:
    program = "import os, sys; print(os.environ['CROSS_SLURM_PROCID'], sys.argv[1])"
    (tmp_path / "ft_launcher").write_text(f"#!{sys.executable}\n{program}\n")
    (tmp_path / "ft_launcher").chmod(0o755)
    made = plan(2, 4, command=[str(tmp_path / "ft_launcher"), "train.py"], spare_nodes=1)
    asked = request.of(job(made), slurm.TARGET.options())
    assert {"no-kill", "requeue"} <= set(asked.flags)
    assert {"--kill-on-bad-exit=0", "--no-kill", "--wait=0"} <= set(asked.step)
    script, at_once = write(made, tmp_path / "plan") / "slurm/job.sbatch", {"RANKPLAN_STANDBY_S": "0"}
    done = batch(script, tmp_path / "run", ["n3", "n1", "n2"], ["n1"], more=at_once)
    assert done.returncode == 0, done.stderr
    logs = tmp_path / "run/rankplan-7/logs/attempt-0/instance-0"
    assert [(logs / f"node-{node}.log").read_text() for node in range(3)] == [f"{i} --nnodes=2:3\n" for i in range(3)]
    assert (tmp_path / "run/rankplan-7/hostfile.0").read_text().split() == ["n1", "n2", "n3"]
