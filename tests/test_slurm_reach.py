"""Under Slurm a job says where its servers answer: a line an instance, IPv6 addresses in brackets."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.frameworks.lay_out import lay_out
from compiler.pools import pool_config
from tests.configs import composed
from tests.fake_slurm import batch
from tests.plans import SmallPlan, SmallPools, write

ON = (
    "model=llama3_1_8b",
    "hardware=h100_80gb",
    "workload.global_batch_size=32",
    "scheduler=slurm",
    "launch.command=[echo]",
)
SHARED = ("parallel=tp2", "hardware.nodes=1", "framework.instances=4")
APART = ("parallel=tp8_pp2", "hardware.nodes=4", "framework.instances=2")


def ran(
    folder: Path, made: SmallPlan | SmallPools, hosts: list[str], address: str = "", parts: tuple[list[str], ...] = ()
) -> tuple[str, str]:
    """Endpoints, and what the job printed. With an address, names do not resolve and it is what Slurm knows."""
    path = write(made, folder / "plan") / "slurm" / "job.sbatch"
    done = batch(path, folder, hosts, [address or "n0 n1 n2 n3"], address, components=parts)
    assert done.returncode == 0, done.stderr
    return (folder / "rankplan-7" / "endpoints").read_text(), done.stdout


@pytest.mark.parametrize(
    ("framework", "shape", "expected"),
    [
        ("vllm", APART, ["serve 0 n0 10014 http://n0:8000", "serve 1 n2 10015 http://n2:8000"]),
        ("sglang", APART, ["serve 0 n0 10014 http://n0:30000", "serve 1 n2 10015 http://n2:30000"]),
        ("vllm", SHARED, [f"serve {i} n0 {10028 + i} http://n0:{8000 + i}" for i in range(4)]),
        ("sglang", SHARED, [f"serve {i} n0 {10028 + i} http://n0:{30000 + 1000 * i}" for i in range(4)]),
    ],
)
def test_every_server_has_a_line(framework: str, shape: tuple[str, ...], expected: list[str], tmp_path: Path) -> None:
    made = SmallPlan("served", lay_out(composed(*ON, *shape, f"framework={framework}")))
    hosts = [f"n{index}" for index in range(made.config.hardware.nodes)]
    found, said = ran(tmp_path, made, hosts)
    assert found.splitlines() == expected
    for instance, line in enumerate(expected):
        assert (
            f"rankplan: instance {instance} answers when it has loaded its model: curl {line.split()[-1]}/v1/models"
            in said
        )


def test_an_address_of_ipv6_has_brackets_before_a_port(tmp_path: Path) -> None:
    """MASTER_ADDR has none: it stands alone."""
    made = SmallPlan("served", lay_out(composed(*ON, *APART, "framework=sglang")))
    found, _ = ran(tmp_path, made, ["n0", "n1", "n2", "n3"], "2001:db8::7")
    assert found.splitlines()[0] == "serve 0 2001:db8::7 10014 http://[2001:db8::7]:30000"
    logs = (tmp_path / "rankplan-7" / "logs" / "latest" / "instance-0" / "node-1.log").read_text()
    assert "--dist-init-addr=[2001:db8::7]:10014" in logs


def test_a_job_without_servers_writes_none(tmp_path: Path) -> None:
    made = SmallPlan("plain", lay_out(composed(*ON, "parallel=tp8_pp2", "hardware.nodes=2")))
    with pytest.raises(FileNotFoundError):
        ran(tmp_path, made, ["n0", "n1"])


def test_pools_name_all_servers_of_both(tmp_path: Path) -> None:
    pools = "workload.pools={prefill: {parallel: tp8, instances: 2}, decode: {parallel: tp8}}"
    config = composed(*ON, "framework=sglang", "hardware.nodes=3", pools)
    made = SmallPools(
        "both",
        config,
        {role: SmallPlan(f"both_{role}", lay_out(pool_config(config, role))) for role in ("prefill", "decode")},
    )
    found, _ = ran(tmp_path, made, ["n0", "n1"], parts=(["n0", "n1"], ["n2"]))
    assert [line.split()[:3] + line.split()[4:] for line in found.splitlines()] == [
        ["prefill", "0", "n0", "http://n0:30000"],
        ["prefill", "1", "n1", "http://n1:30000"],
        ["decode", "0", "n2", "http://n2:30000"],
    ]
