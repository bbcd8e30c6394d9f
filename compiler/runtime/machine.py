"""What this node has: GPUs, network cards, NUMA nodes, limits. Where there is no tool to ask, nothing is known: None.

Standard library only, Python 3.6 syntax.
"""

import glob
import os
import re
import resource
import shutil
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Optional

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import family, planned
else:
    import family
    import planned

VISIBLE = "CUDA_VISIBLE_DEVICES"
SYS = os.environ.get("RANKPLAN_SYS", "/sys")
CAP_IPC_LOCK = 14  # capability.h


def ask(*command: str) -> str:
    """Output of a GPU tool, which must answer within a minute."""
    code, found = family.output(command, 60, "a list of GPUs")
    if code:
        last = found.strip().rpartition("\n")[2]
        raise planned.differs(planned.HARDWARE, command[0], "a list of GPUs", "exit code %d %s" % (code, last))
    return found


def nvidia(*fields: str) -> List[str]:
    """A row a GPU, in index order."""
    return ask("nvidia-smi", "--query-gpu=" + ",".join(fields), "--format=csv,noheader").split("\n")[:-1]


def gpus() -> Optional[List[str]]:
    """Identities of the node's GPUs in index order."""
    if shutil.which("nvidia-smi"):
        return nvidia("uuid")
    if shutil.which("rocm-smi"):
        lines = ask("rocm-smi", "--showuniqueid", "--csv").split()  # a header, then card0,0x1234
        return [line.split(",")[1] for line in lines if line.startswith("card") and "," in line]
    return None


def visible(found: List[str]) -> List[str]:
    """The GPUs that this process may use, in the order in which it counts them."""
    chosen = [entry.strip() for entry in os.environ.get(VISIBLE, ",".join(found)).split(",") if entry.strip()]
    return [
        found[int(entry)] if re.fullmatch("[0-9]{1,9}", entry) and int(entry) < len(found) else entry
        for entry in chosen
    ]


def check_gpus(wanted: int) -> List[str]:
    """The GPUs of this process: at least `wanted`, no one twice. Empty where there is no tool to ask."""
    found = gpus()
    usable = [] if found is None else visible(found)
    if found is not None and len(usable) < wanted:
        raise planned.differs(planned.HARDWARE, "GPUs", wanted, len(usable))
    if len(set(usable)) < len(usable):
        raise planned.differs(planned.HARDWARE, "GPUs", "different ones", ", ".join(usable))
    return usable


def numa_of_gpus() -> Dict[str, int]:
    """Identity -> NUMA node, as far as the kernel says."""
    if not shutil.which("nvidia-smi"):
        return {}
    rows = (row.split(", ") for row in nvidia("uuid", "pci.bus_id"))
    found = {row[0]: numa("bus/pci/devices", row[1][-12:].lower()) for row in rows if len(row) == 2}
    return {gpu: node for gpu, node in found.items() if node is not None}


def numa(*parts: str) -> Optional[int]:
    """NUMA node of a device; None where the kernel gives none (-1)."""
    node = read(SYS, *parts, "numa_node")
    return int(node) if re.fullmatch("[0-9]{1,9}", node) else None


def check_nic(name: str, node: Optional[int]) -> str:
    """A card of the fabric must be there, with a port up, on its NUMA node. Unchecked where the machine has none at all."""
    folder = os.path.join(SYS, "class/infiniband")
    if not os.path.isdir(folder) and gpus() is None:
        return "unchecked"
    if not os.path.isdir(os.path.join(folder, name)):
        raise planned.differs(planned.HARDWARE, "network card", name, ", ".join(sorted(glob_names(folder))) or "none")
    states = [read(path) for path in sorted(glob.glob(os.path.join(folder, name, "ports/*/state")))]
    if not any("ACTIVE" in state for state in states):
        raise planned.differs(planned.HARDWARE, "port of network card " + name, "ACTIVE", ", ".join(states) or "none")
    found = numa("class/infiniband", name, "device")
    if node is not None and found is not None and node != found:
        raise planned.differs(planned.HARDWARE, "NUMA node of network card " + name, node, found)
    return name


def glob_names(folder: str) -> List[str]:
    return [os.path.basename(path) for path in glob.glob(os.path.join(folder, "*"))]


def read(*parts: str) -> str:
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def memlock() -> Optional[int]:
    """Bytes that a process may lock, None for any number: RDMA registers its buffers. The capability lifts the limit."""
    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    rights = [line.split()[1] for line in read("/proc/self/status").splitlines() if line.startswith("CapEff:")]
    lifted = any(int(found, 16) >> CAP_IPC_LOCK & 1 for found in rights)
    return None if lifted or soft == resource.RLIM_INFINITY else soft


def free_bytes(path: str) -> int:
    """Free space of a file system."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def versions() -> Dict[str, Any]:
    """What must be the same on all nodes: driver and NCCL."""
    found = {}  # type: Dict[str, Any]
    if shutil.which("nvidia-smi"):
        found["driver"] = ", ".join(sorted(set(nvidia("driver_version"))))
    nccl = nccl_version()
    if nccl is not None:
        found["NCCL"] = nccl
    return found


def nccl_version() -> Optional[int]:
    """The number that the node's own library reports, as 22304; None where the loader finds none."""
    import ctypes

    try:
        library = ctypes.CDLL("libnccl.so.2")
        version = ctypes.c_int()
        return version.value if library.ncclGetVersion(ctypes.byref(version)) == 0 else None
    except (OSError, AttributeError):
        return None


def check_ecc() -> None:
    """GPU memory with errors that ECC could not mend must not be used."""
    if not shutil.which("nvidia-smi"):
        return
    try:
        rows = nvidia("ecc.errors.uncorrected.volatile.total")
    except planned.PlanError:  # an old driver or a card without ECC
        return
    bad = [index for index, row in enumerate(rows) if re.fullmatch(" *0*[1-9][0-9]* *", row)]
    if bad:
        raise planned.differs(planned.HARDWARE, "uncorrected memory errors", "none", "GPU " + ", ".join(map(str, bad)))
