"""A site's profile compiles to what its cluster wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import call

SITES = {
    "eks_efa": ("h100_80gb", {"vpc.amazonaws.com/efa": "32", "hugepages-2Mi": str(5 * 2**30)}),
    "gke": ("h200", {}),
    "aks": ("h100_80gb", {"rdma/hca_shared_devices_a": "1"}),
    "coreweave": ("h100_80gb", {"rdma/ib": "1"}),
    "gb200": ("gb200_nvl72", {}),
}


@pytest.mark.parametrize("site", SITES)
def test_a_sites_profile_compiles_to_what_its_cluster_wants(site: str, tmp_path: Path) -> None:
    hardware, resources = SITES[site]
    nodes, parallel = (36, "tp4_adp36") if site == "gb200" else (32, "tp8_adp32")
    base = [f"site={site}", f"hardware={hardware}", f"hardware.nodes={nodes}", f"parallel={parallel}"]
    given = ["model=llama3_1_8b", "workload.global_batch_size=576", "scheduler=jobset", "launch.image=i", "name=p"]
    done = call(*base, *given, cwd=tmp_path)
    assert done.code == 0, done.err
    assert not [line for line in done.err.splitlines() if re_id(line) in ("memlock", "nccl-device-names", "shm")]
    text = (tmp_path / "out" / "p" / "kubernetes" / "jobset.yaml").read_text()
    for name, amount in resources.items():
        assert text.count(f'{name}: "{amount}"') == 4  # limits and requests, of the preflight and of the ranks
    assert ("exclusive-topology" in text) is (site != "aks")
    assert ("ComputeDomain" in text) is (site == "gb200")


def re_id(line: str) -> str:
    """The id of a check that a line of the command is about."""
    return line.removeprefix("warning: ").split(":", 1)[0]
