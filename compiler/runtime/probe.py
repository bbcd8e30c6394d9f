"""Self-check of one rank (or, with unit=node, of a whole node) against its row of the plan, and then its command.

    probe.py             variables are set by spawn.py
    probe.py --slurm     variables come from the Slurm step
    probe.py --cpu       a smoke test: devices are not looked at

Exits 64 for a wrong configuration, 65 for a wrong place, 66 for wrong hardware; otherwise the exit code is the command's.
Standard library only, Python 3.6 syntax.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import command, machine, meet, planned, rank_map, shape
else:
    import command
    import machine
    import meet
    import planned
    import rank_map
    import shape

STANDBY_S = 60
"""A spare's launcher comes behind those of slots: whoever joins first is given ranks."""


def read_slurm(launch: Dict[str, Any]) -> None:
    """Set the plan's variables from those of the Slurm step; SLURM_NODEID does not follow ranks, SLURM_PROCID does."""
    task, per_node = planned.number("SLURM_PROCID"), launch["ranks_per_node"]
    tasks = launch["nodes"] if launch["unit"] == "node" else launch["world_size"]
    found = planned.number("SLURM_STEP_NUM_TASKS")
    if not tasks <= found <= tasks + launch.get("standby", 0):
        raise planned.differs(planned.CONFIGURATION, "tasks of the step", tasks, found)
    names = {"NODE_RANK": task, "WORLD_SIZE": launch["world_size"], "LOCAL_WORLD_SIZE": per_node}
    if launch["unit"] == "rank":
        names.update({"NODE_RANK": task // per_node, "RANK": task, "LOCAL_RANK": planned.number("SLURM_LOCALID")})
    os.environ.update({name: str(value) for name, value in names.items()})


def check_place(launch: Dict[str, Any]) -> None:
    """The closed form: ranks fill the node slots in order."""
    per_node, node = launch["ranks_per_node"], planned.number("NODE_RANK")
    planned.expect(planned.CONFIGURATION, "WORLD_SIZE", launch["world_size"], planned.number("WORLD_SIZE"))
    planned.expect(planned.CONFIGURATION, "LOCAL_WORLD_SIZE", per_node, planned.number("LOCAL_WORLD_SIZE"))
    nodes = launch["nodes"] + launch.get("standby", 0)
    if node >= nodes:
        raise planned.differs(planned.CONFIGURATION, "NODE_RANK", "one below %d" % nodes, node)
    if launch["unit"] == "rank":
        rank = planned.number("RANK")
        planned.expect(planned.MAPPING, "slot of the rank", rank // per_node, node)
        planned.expect(planned.MAPPING, "local rank", rank % per_node, planned.number("LOCAL_RANK"))


def waits(launch: Dict[str, Any]) -> bool:
    """Whether this is a spare node, on which a launcher waits for one that holds ranks to be lost."""
    return planned.number("NODE_RANK") >= int(launch["nodes"])


def check_host(launch: Dict[str, Any], host: str) -> str:
    """The host against the list that the job was bound to, else against the set that the plan is pinned to."""
    path = os.environ.get("RANKPLAN_HOSTS")
    if waits(launch):
        return "spare"
    if path:
        bound = planned.text(path).split()
        planned.expect(planned.CONFIGURATION, "hosts in " + path, shape.all_nodes(launch), len(bound))
        slot = planned.seat(launch, planned.instance())[0] + planned.number("NODE_RANK")
        planned.expect(planned.MAPPING, "host of slot %d" % slot, dict(enumerate(bound)).get(slot), host)
        return "bound"
    if os.environ.get("RANKPLAN_BY_HOST"):
        planned.expect(planned.MAPPING, "slot of " + host, meet.slot(launch, host), planned.number("NODE_RANK"))
        return "bound"
    if launch["hosts"] and "NODE_NAME" in os.environ:
        slot = planned.seat(launch, planned.instance())[0] + planned.number("NODE_RANK")
        if host not in launch["hosts"] + launch["spares"]:
            raise planned.differs(planned.MAPPING, "host", "one of the plan's %d" % len(launch["hosts"]), host)
        return "bound" if launch["hosts"][slot] == host else "not on %s, the host of its row" % launch["hosts"][slot]
    return "unbound"


def check_environment(launch: Dict[str, Any]) -> str:
    """Values that must be the same on all ranks arrived as they were written; the hash of what was found."""
    seen = hashlib.sha256()
    for name, value in launch["environment"].items():
        found = os.environb.get(name.encode())
        if found != value.encode("utf-8"):
            raise planned.differs(
                planned.CONFIGURATION, name, ascii(value), "nothing" if found is None else repr(found)[1:]
            )
        seen.update(name.encode() + b"=" + found + b"\0")
    return seen.hexdigest()


def check_devices(launch: Dict[str, Any], seen: Dict[str, Any], shares: bool) -> None:
    """Enough GPUs, no one twice; this rank's, its network card and their NUMA node. With `shares`, instances divide a node; else
    a pod is given its part of one, and nobody says which GPUs those are.
    """
    per_node, on_node = launch["ranks_per_node"], launch["gpus_per_node"]
    first = planned.seat(launch, planned.instance())[1] if shares else 0
    usable = machine.check_gpus(first + per_node)
    if shares and per_node < on_node:
        listed = os.environ.get(machine.VISIBLE) or ",".join(map(str, range(on_node)))
        os.environ[machine.VISIBLE] = ",".join(listed.split(",")[first : first + per_node])
    local = range(per_node) if launch["unit"] == "node" else [planned.number("LOCAL_RANK")]
    some = per_node < on_node and not shares
    numa, nics = ([], []) if some else (launch["numa"], launch["nics"])
    known = machine.numa_of_gpus() if usable and numa else {}
    cards = []
    for gpu in (first + index for index in local):
        wanted = numa[gpu] if numa else None
        if usable and known.get(usable[gpu], wanted) != wanted:
            raise planned.differs(planned.HARDWARE, "NUMA node of GPU %d" % gpu, wanted, known[usable[gpu]])
        cards += [machine.check_nic(nics[gpu], wanted)] if nics else []
    seen["gpu"] = " ".join(usable[first + index] for index in local) if usable else "unchecked"
    seen["nic"] = " ".join(cards) or "unchecked"


def check(launch: Dict[str, Any], seen: Dict[str, Any], options: List[str]) -> None:
    """Hold this process against its row of the plan, and note down what is seen."""
    if "--slurm" in options:
        read_slurm(launch)
    names = ["NODE_RANK", "WORLD_SIZE"] + ["RANK", "LOCAL_RANK"] * (launch["unit"] == "rank")
    seen.update({name.lower(): planned.number(name) for name in names})
    seen["who"] = "rank %d" % seen["rank"] if "rank" in seen else "node %d" % seen["node_rank"]
    seen["master"] = "%s:%d" % (os.environ.get("MASTER_ADDR"), planned.port())
    check_place(launch)
    rank_map.check_ends(rank_map.FOLDER, launch)
    seen["environment_sha256"] = check_environment(launch)
    seen["binding"] = check_host(launch, seen["host"])
    seen["gpu"] = seen["nic"] = "unchecked"
    if "--cpu" not in options:
        check_devices(launch, seen, "--slurm" in options)


def record(folder: Optional[str], seen: Dict[str, Any]) -> None:
    """One small file a rank of what it saw, in `folder` where there is one; nothing reads half of one."""
    if not folder:
        return
    place = [seen["pool"]] * bool(seen["pool"]) + [str(seen["instance"]), seen["who"].replace(" ", "-")]
    path = os.path.join(folder, "-".join(place) + ".json")
    os.makedirs(folder, exist_ok=True)
    with open(path + ".part", "w") as file:
        json.dump(seen, file, indent=1, sort_keys=True)
    os.rename(path + ".part", path)


def look(launch: Dict[str, Any], seen: Dict[str, Any], options: List[str]) -> None:
    """Check, and leave a report where one is wanted. What is wrong goes before a report that cannot be written."""
    folder = os.environ.get("RANKPLAN_REPORT")
    try:
        check(launch, seen, options)
    except planned.PlanError:
        with contextlib.suppress(OSError):
            record(folder, seen)
        raise
    record(folder, seen)


def main(options: List[str]) -> int:
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "?"))
    seen = {"who": "rank " + rank[:40], "host": planned.node_name()}  # type: Dict[str, Any]
    try:
        seen.update(pool=planned.check_pool(), instance=planned.instance())
        launch = planned.load()
        look(launch, seen, options)
        if launch["command"]:
            command.read_secrets(launch)
            if waits(launch):
                time.sleep(planned.number("RANKPLAN_STANDBY_S", STANDBY_S))
            return command.run(launch, seen["who"], seen["host"])
    except (planned.PlanError, OSError) as wrong:
        planned.say("%s on %s: %s" % (seen["who"], seen["host"], wrong))
        return command.note(getattr(wrong, "code", planned.CONFIGURATION), seen["who"], seen["host"])
    text = "%(who)s on %(host)s (%(binding)s): slot %(node_rank)d, GPU %(gpu)s: as planned" % seen
    planned.put(1, planned.said(text))
    return 0


if __name__ == "__main__":
    planned.begin(main)
