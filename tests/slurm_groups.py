"""One rank of a job: makes the plan's groups on gloo, sums rank + 1 in each and writes what came out.

slurm_groups.py OUT      writes OUT/<rank>.json
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path


def main(out: str) -> None:
    import torch
    import torch.distributed as dist

    sys.path.append(f"{os.environ['RANKPLAN_PLAN']}/runtime")
    torch.set_num_threads(1)
    rank, sums = int(os.environ["RANK"]), {}
    for kind, group in importlib.import_module("groups").init_groups(backend="gloo").items():
        total = torch.tensor([rank + 1])
        dist.all_reduce(total, group=group)
        sums[kind] = int(total)
    told = {"host": os.environ["SLURMD_NODENAME"], "local_rank": int(os.environ["LOCAL_RANK"]), "sums": sums}
    Path(out, f"{rank}.json").write_text(json.dumps(told))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
