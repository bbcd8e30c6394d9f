"""Every rank of a plan as a process on gloo, forked after one import of torch: makes the groups, sums in each, and tells.

python groups_ranks.py FOLDER OUT      writes OUT/<rank>.json
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any


def ranks_tell(rank: int, folder: str, out: str) -> None:
    """What one rank sees of its groups: ranks, description, and two collectives in each."""
    import torch.distributed as dist

    sys.path.insert(0, f"{folder}/runtime")
    groups = importlib.import_module("groups")  # the plan's own copy, as a job would import it

    os.environ["RANK"] = str(rank)
    told = {kind: seen(group, rank) for kind, group in groups.init_groups(folder, backend="gloo").items()}
    meshes = {grid: groups.device_mesh(folder, grid, "cpu") for grid in ("attention", "expert")}
    coordinates = {
        grid: dict(zip(mesh.mesh_dim_names, mesh.get_coordinate(), strict=True)) for grid, mesh in meshes.items()
    }
    Path(out, f"{rank}.json").write_text(json.dumps({"groups": told, "coordinates": coordinates}))
    dist.barrier()
    dist.destroy_process_group()


def seen(group: Any, rank: int) -> dict[str, Any]:
    import torch
    import torch.distributed as dist

    total, size = torch.tensor([rank + 1]), group.size()
    dist.all_reduce(total, group=group)
    gathered = [torch.empty(1, dtype=torch.int64) for _ in range(size)]
    dist.all_gather(gathered, torch.tensor([rank]), group=group)
    ranks = [int(part) for part in gathered]
    return {"desc": group.group_desc, "sum": int(total), "ranks": ranks}


def main(folder: str, out: str) -> int:
    import torch
    import torch.multiprocessing as mp

    torch.set_num_threads(1)
    world = json.loads(Path(folder, "plan.json").read_text())["world_size"]
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        WORLD_SIZE=str(world),
        GLOO_SOCKET_IFNAME="lo",
        OMP_NUM_THREADS="1",
    )
    mp.start_processes(ranks_tell, (folder, out), nprocs=world, start_method="fork")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
