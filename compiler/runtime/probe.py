"""Self-check of one rank (or, with unit=node, of a whole node) against the plan, and then its command.

Exits 64 for a wrong configuration, 65 for a wrong place, 66 for wrong hardware; otherwise the exit code is the command's.
Standard library only, Python 3.6 syntax.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any, Dict, List, Optional

CONFIGURATION, MAPPING, HARDWARE = 64, 65, 66
VISIBLE = "CUDA_VISIBLE_DEVICES"


class PlanError(Exception):
    """What was expected and what was found, with the exit code that says which kind of mistake it is."""

    def __init__(self, code: int, what: str, expected: object, found: object) -> None:
        Exception.__init__(self, "%s: expected %s, found %s" % (what, expected, found))
        self.code = code


def expect(code: int, what: str, expected: object, found: object) -> None:
    if expected != found:
        raise PlanError(code, what, expected, found)


def load(folder: str) -> Dict[str, Any]:
    """The launch of this plan; the launcher passes its sha256, so that a folder that changed since is noticed."""
    path = os.path.join(folder, "launch.json")
    with open(path, "rb") as file:
        content = file.read()
    try:
        launch = dict(json.loads(content.decode("utf-8")))
    except (ValueError, TypeError) as error:
        raise PlanError(CONFIGURATION, path, "a launch", error) from error
    expect(CONFIGURATION, "schema of " + path, "rankplan.launch/1", launch.get("schema"))
    digest = hashlib.sha256(content).hexdigest()
    expect(CONFIGURATION, "sha256 of " + path, os.environ.get("RANKPLAN_DIGEST", digest), digest)
    return launch


def number(name: str) -> int:
    """An environment variable that the launcher must have set to a number."""
    value = os.environ.get(name, "")
    if not value.isdigit():
        raise PlanError(CONFIGURATION, name, "a number", repr(value))
    return int(value)


def read_slurm(launch: Dict[str, Any]) -> None:
    """Set the plan's variables from those of the Slurm step; SLURM_NODEID does not follow ranks, SLURM_PROCID does."""
    task, per_node = number("SLURM_PROCID"), launch["ranks_per_node"]
    tasks = launch["nodes"] if launch["unit"] == "node" else launch["world_size"]
    expect(CONFIGURATION, "tasks of the step", tasks, number("SLURM_STEP_NUM_TASKS"))
    names = {"NODE_RANK": task, "WORLD_SIZE": launch["world_size"], "LOCAL_WORLD_SIZE": per_node}
    if launch["unit"] == "rank":
        names.update({"NODE_RANK": task // per_node, "RANK": task, "LOCAL_RANK": number("SLURM_LOCALID")})
    os.environ.update({name: str(value) for name, value in names.items()})


def check_place(launch: Dict[str, Any]) -> None:
    """The closed form: ranks fill the node slots in order."""
    per_node, node = launch["ranks_per_node"], number("NODE_RANK")
    expect(CONFIGURATION, "WORLD_SIZE", launch["world_size"], number("WORLD_SIZE"))
    expect(CONFIGURATION, "LOCAL_WORLD_SIZE", per_node, number("LOCAL_WORLD_SIZE"))
    if node >= launch["nodes"]:
        raise PlanError(CONFIGURATION, "NODE_RANK", "one below %d" % launch["nodes"], node)
    if launch["unit"] == "rank":
        rank = number("RANK")
        expect(MAPPING, "slot of the rank", rank // per_node, node)
        expect(MAPPING, "local rank", rank % per_node, number("LOCAL_RANK"))


def check_host(launch: Dict[str, Any], host: str) -> str:
    """The host against the list that the job was bound to, else against the set that the plan is pinned to."""
    path = os.environ.get("RANKPLAN_HOSTS")
    if path:
        with open(path, encoding="utf-8") as file:
            bound = dict(enumerate(file.read().split()))
        slot = first_gpu_of_instance(launch) // launch["gpus_per_node"] + number("NODE_RANK")
        expect(MAPPING, "host of slot %d" % slot, bound.get(slot), host)
        return "bound"
    if launch["hosts"] and "NODE_NAME" in os.environ:
        if host not in launch["hosts"] + launch["spares"]:
            raise PlanError(MAPPING, "host", "one of the plan's %d" % len(launch["hosts"]), host)
        return "one of the plan's"
    return "unbound"


def first_gpu_of_instance(launch: Dict[str, Any]) -> int:
    """Position of this instance's rank 0 among the GPUs of all nodes in a row."""
    return int(os.environ.get("RANKPLAN_INSTANCE", "0")) * int(launch["world_size"])


def check_environment(launch: Dict[str, Any]) -> str:
    """Values that must be the same on all ranks arrived as they were written; the hash of what was found."""
    seen = hashlib.sha256()
    for name, value in launch["environment"].items():
        found = os.environb.get(name.encode())
        if found != value.encode("utf-8"):
            raise PlanError(CONFIGURATION, name, ascii(value), "nothing" if found is None else repr(found)[1:])
        seen.update(name.encode() + b"=" + found + b"\0")
    return seen.hexdigest()


def ask(*command: str) -> str:
    """Output of a GPU tool, which must answer within a minute."""
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    except subprocess.SubprocessError as error:
        last = (getattr(error, "output", None) or b"").decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise PlanError(HARDWARE, command[0], "a list of GPUs", "%s %s" % (error, last)) from None
    return done.stdout.decode("utf-8", "replace")


def gpus() -> Optional[List[str]]:
    """Identities of the node's GPUs in index order; None where there is no tool to ask."""
    if shutil.which("nvidia-smi"):
        return ask("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader").split("\n")[:-1]
    if shutil.which("rocm-smi"):
        lines = ask("rocm-smi", "--showuniqueid", "--csv").split()  # a header, then card0,0x1234
        return [line.split(",")[1] for line in lines if line.startswith("card") and "," in line]
    return None


def visible(found: List[str]) -> List[str]:
    """The GPUs that this process may use, in the order in which it counts them."""
    chosen = [entry.strip() for entry in os.environ.get(VISIBLE, ",".join(found)).split(",") if entry.strip()]
    return [found[int(entry)] if entry.isdigit() and int(entry) < len(found) else entry for entry in chosen]


def check_gpus(launch: Dict[str, Any], slurm: bool) -> str:
    """Enough GPUs, no one twice; the identity of this rank's. Instances that share a node take their own part of it."""
    per_node, on_node, found = launch["ranks_per_node"], launch["gpus_per_node"], gpus()
    first = first_gpu_of_instance(launch) % on_node if slurm else 0
    usable = [] if found is None else visible(found)
    if found is not None and len(usable) < first + per_node:
        raise PlanError(HARDWARE, "GPUs", first + per_node, len(usable))
    if len(set(usable)) < len(usable):
        raise PlanError(HARDWARE, "GPUs", "different ones", ", ".join(usable))
    if slurm and per_node < on_node:
        listed = os.environ.get(VISIBLE) or ",".join(map(str, range(on_node)))
        os.environ[VISIBLE] = ",".join(listed.split(",")[first : first + per_node])
    if found is None:
        return "unchecked"
    own = usable[first : first + per_node]
    return " ".join(own) if launch["unit"] == "node" else own[number("LOCAL_RANK")]


def record(folder: str, seen: Dict[str, Any]) -> None:
    """One small file a rank of what it saw; nothing reads half of one."""
    path = os.path.join(folder, "%d-%s.json" % (seen["instance"], seen["who"].replace(" ", "-")))
    os.makedirs(folder, exist_ok=True)
    with open(path + ".part", "w") as file:
        json.dump(seen, file, indent=1, sort_keys=True)
    os.rename(path + ".part", path)


def read_secrets(launch: Dict[str, Any]) -> None:
    """Secrets stay out of the plan: each rank reads them here, without the last line break."""
    for name, path in launch["secrets"].items():
        if name in os.environ:  # the launcher has it from elsewhere: a Kubernetes Secret
            continue
        try:
            with open(path.encode("utf-8"), "rb") as file:
                value = file.read()
            os.environb[name.encode()] = value[:-1] if value.endswith(b"\n") else value
        except (OSError, ValueError) as error:  # ValueError: a NUL, which must not show what is around it
            reason = error.strerror if isinstance(error, OSError) else "a NUL character in it"
            raise PlanError(CONFIGURATION, "secret " + name, "a file " + ascii(path), reason) from None


def run(launch: Dict[str, Any], who: str) -> int:
    """Become the command, or its parent where a first failure is to be noted. Output goes to a log where there is a folder."""
    command = arguments(launch)
    kept, what = os.dup(2), "workdir %a" % launch["workdir"]  # not inherited: errors go where the self-check's go
    try:
        if launch["workdir"] is not None:
            os.chdir(launch["workdir"].encode("utf-8"))
        if os.environ.get("RANKPLAN_LOGS"):
            what = os.path.join(os.environ["RANKPLAN_LOGS"], who.replace(" ", "-") + ".log")
            log = os.open(what, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
        what = "command %a" % command[0].decode("utf-8")
        if os.environ.get("RANKPLAN_FAILURE"):
            return supervise(command)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a command would inherit that
            signal.signal(ignored, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 - an argument list, no shell
    except OSError as error:
        os.dup2(kept, 2)
        raise PlanError(CONFIGURATION, what, "one that can be used", error.strerror) from error


def arguments(launch: Dict[str, Any]) -> List[bytes]:
    """The command of this node, with what depends on the node filled in."""
    node = number("NODE_RANK")
    others = launch["other_command"] if node > 0 else None
    known = {name: os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "RANKPLAN_PLAN")}
    found = []
    for argument in others or launch["command"]:
        text = argument
        if isinstance(argument, dict):
            text = argument["text"].format(NODE_RANK=node, START=node * argument["times"], **known)
        found.append(text.encode("utf-8"))
    return found


def supervise(command: List[bytes]) -> int:
    """Exit code of the command, 128 + n for signal n. Slurm signals it too, so signals are its own business."""
    for own in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(own, lambda *_: None)
    code = subprocess.Popen(command).wait()
    return code if code >= 0 else 128 - code


def note(code: int, seen: Dict[str, Any]) -> int:
    """The first failure of an instance, which the others' ends would hide: srun returns the highest exit code of all."""
    path = os.environ.get("RANKPLAN_FAILURE")
    if path and code:
        with contextlib.suppress(OSError), open(path, "x") as file:
            file.write("%d %s on %s\n" % (code, seen["who"], seen["host"]))
    return code


def check(launch: Dict[str, Any], seen: Dict[str, Any], options: List[str]) -> None:
    """Hold this process against its row of the plan, and note down what is seen."""
    if "--slurm" in options:
        read_slurm(launch)
    names = ["NODE_RANK", "WORLD_SIZE"] + ["RANK", "LOCAL_RANK"] * (launch["unit"] == "rank")
    seen.update({name.lower(): number(name) for name in names})
    seen["who"] = "rank %d" % seen["rank"] if "rank" in seen else "node %d" % seen["node_rank"]
    seen["master"] = "%s:%d" % (os.environ.get("MASTER_ADDR"), number("MASTER_PORT"))
    check_place(launch)
    seen["environment_sha256"] = check_environment(launch)
    seen["binding"] = check_host(launch, seen["host"])
    seen["gpu"] = "unchecked" if "--cpu" in options else check_gpus(launch, "--slurm" in options)


def main(options: List[str]) -> int:
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "?"))
    host = os.environ.get("SLURMD_NODENAME") or os.environ.get("NODE_NAME") or os.uname().nodename
    instance = int(os.environ.get("RANKPLAN_INSTANCE", "0"))
    seen = {"who": "rank " + rank, "host": host, "instance": instance}  # type: Dict[str, Any]
    try:
        launch = load(os.path.dirname(os.path.abspath(__file__)))
        try:
            check(launch, seen, options)
        finally:
            if os.environ.get("RANKPLAN_REPORT"):
                record(os.environ["RANKPLAN_REPORT"], seen)
        if launch["command"]:
            read_secrets(launch)
            return note(run(launch, seen["who"]), seen)
    except (PlanError, OSError) as wrong:
        sys.stderr.write("rankplan: %s on %s: %s\n" % (seen["who"], host, " ".join(str(wrong).split())))
        return note(getattr(wrong, "code", CONFIGURATION), seen)
    print("rankplan: %(who)s on %(host)s (%(binding)s): slot %(node_rank)d, GPU %(gpu)s: as planned" % seen)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
