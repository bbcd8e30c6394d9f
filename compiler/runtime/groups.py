"""The plan's process groups in a running PyTorch job.

    from groups import init_groups, device_mesh     (runtime/ of the plan folder on sys.path)
    groups = init_groups()                          kind -> the group of this rank
    mesh = device_mesh()                            the attention grid, slow axis first

Both read plan.json of `plan_folder` (None: RANKPLAN_PLAN) and raise PlanError where this process is not in that plan.
Standard library only, torch inside functions, Python 3.6 syntax.
"""

import inspect
import itertools
import json
import os
import re
import warnings
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple


class PlanError(Exception):
    """Why the groups of this process cannot be made."""


def init_groups(
    plan_folder: Optional[str] = None, backend: Optional[str] = None, kinds: Optional[Iterable[str]] = None
) -> Dict[str, Any]:
    """Create every group of the plan (of `kinds`, where given) and return those of this rank.

    All ranks must call this with the same arguments: each walks through all groups in the order of the plan, as torch
    asks for, so that a group has the same name everywhere; `group_desc` is `<kind>/<index>`. Initialises torch.distributed
    from RANK, WORLD_SIZE and MASTER_* where nobody has. Ranks of a group are ordered as declared where torch can
    (`sort_ranks`), else ascending, with a warning. Kinds of one rank a group share one group, `self/<rank>`, so that
    collectives work in them and none costs a communicator. A framework's kind that leaves this rank out (Megatron's
    embedding groups) is left out of what is returned.
    """
    plan = read(plan_folder)
    rows = chosen(plan, kinds)
    rank = join(plan, backend)
    own: Dict[str, Any] = {}
    alone = None
    for row in rows:
        group = create(row, rank, backend) if row["size"] > 1 else None
        if row["size"] == 1 and rank in offsets(row["bases"]):
            if alone is None:
                alone = new_group([rank], backend, "self/%d" % rank, use_local_synchronization=True)
            group = alone
        if group is not None:
            own[row["kind"]] = group
    return own


def device_mesh(plan_folder: Optional[str] = None, grid: str = "attention", device_type: str = "cuda") -> Any:
    """A DeviceMesh of the axes of a grid, `attention` or `expert`, slow axis first.

    Raises PlanError where an axis is compound: several runs of ranks, which no dimension of a mesh can be.
    """
    import torch
    from torch.distributed.device_mesh import DeviceMesh

    plan = read(plan_folder)
    if grid not in plan["grids"]:
        raise PlanError("there is no grid %s; the plan has %s" % (grid, ", ".join(sorted(plan["grids"]))))
    axes = [(axis["axis"], axis["size"], axis["stride"]) for axis in reversed(plan["grids"][grid])]
    names = [name for name, _, _ in axes]
    compound = sorted({name for name in names if names.count(name) > 1})
    if compound:
        message = (
            "axis %s of the %s grid is compound, in several runs of ranks: no DeviceMesh can hold it; use init_groups"
        )
        raise PlanError(message % (", ".join(compound), grid))
    join(plan, None)
    ranks = torch.tensor(offsets([(size, stride) for _, size, stride in reversed(axes)]))
    return DeviceMesh(device_type, ranks.reshape([size for _, size, _ in axes]), mesh_dim_names=tuple(names))


def read(folder: Optional[str]) -> Dict[str, Any]:
    """What plan.json holds."""
    folder = folder or os.environ.get("RANKPLAN_PLAN")
    if not folder:
        raise PlanError("no plan folder: give one, or set RANKPLAN_PLAN")
    path = os.path.join(str(folder), "plan.json")
    try:
        with open(path, encoding="utf-8") as file:
            plan = dict(json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise PlanError("%s cannot be read: %s" % (path, error)) from error
    if plan.get("schema") != "rankplan/1":
        raise PlanError("schema of %s: expected rankplan/1, found %s" % (path, plan.get("schema")))
    return plan


def chosen(plan: Dict[str, Any], kinds: Optional[Iterable[str]]) -> List[Dict[str, Any]]:
    """Rows of the wanted kinds, in the plan's order whatever the order of `kinds`."""
    rows: List[Dict[str, Any]] = plan["groups"]
    known = [row["kind"] for row in rows]
    wanted = set(known if kinds is None else kinds)
    if not wanted <= set(known):
        unknown = ", ".join(sorted(wanted - set(known)))
        raise PlanError("the plan has no groups of kind %s; it has %s" % (unknown, ", ".join(known)))
    return [row for row in rows if row["kind"] in wanted]


def join(plan: Dict[str, Any], backend: Optional[str]) -> int:
    """The rank of this process, once torch.distributed runs with the plan's ranks. Raises PlanError before anything is made."""
    import torch.distributed as dist

    started = dist.is_initialized()
    if started:
        world, rank = dist.get_world_size(), dist.get_rank()
    else:
        world, rank = number("WORLD_SIZE"), number("RANK")
    if world != plan["world_size"]:
        raise PlanError("%s has %d ranks, this job %d" % (plan["name"], plan["world_size"], world))
    if not 0 <= rank < world:
        raise PlanError("%s has ranks 0 to %d, this is %d" % (plan["name"], world - 1, rank))
    if started and os.environ.get("RANK", str(rank)) != str(rank):
        raise PlanError("RANK is %s, and torch.distributed calls this rank %d" % (os.environ["RANK"], rank))
    if not started:
        dist.init_process_group(backend)
    return int(rank)


def number(name: str) -> int:
    value = os.environ.get(name, "")
    if not re.fullmatch("[0-9]{1,9}", value):
        raise PlanError("%s: expected a number, found %r; start this with the plan's launcher" % (name, value))
    return int(value)


def create(row: Dict[str, Any], rank: int, backend: Optional[str]) -> Any:
    """The group of one kind that holds `rank`, None where there is none; torch wants every rank to hear of every group."""
    members, own = offsets(row["members"]), None
    for index, base in enumerate(offsets(row["bases"])):
        ranks = [base + member for member in members]
        group = new_group(ranks, backend, "%s/%d" % (row["kind"], index))
        if rank in ranks:
            own = group
    return own


def new_group(ranks: Sequence[int], backend: Optional[str], desc: str, **given: Any) -> Any:
    """torch's new_group, with what its version knows of descriptions and of the order of ranks."""
    import torch.distributed as dist

    known = inspect.signature(dist.new_group).parameters
    if "group_desc" in known:
        given["group_desc"] = desc
    if list(ranks) != sorted(ranks):
        if "sort_ranks" in known:
            given["sort_ranks"] = False
        else:
            warnings.warn("this torch sorts the ranks of a group: %s differs from the plan" % desc, stacklevel=2)
    return dist.new_group(list(ranks), backend=backend, **given)


def offsets(runs: Iterable[Tuple[int, int]]) -> List[int]:
    """Every sum of coordinate*stride over (size, stride), the first run varying fastest."""
    steps = [range(0, size * stride, stride) for size, stride in reversed(list(runs))]
    return [sum(parts) for parts in itertools.product(*steps)]
