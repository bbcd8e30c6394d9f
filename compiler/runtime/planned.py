"""What the plan says of this process, for all programs of this folder: the launch, and where its instance begins.

Standard library only, Python 3.6 syntax.
"""

import hashlib
import json
import os
import re
import sys
from typing import Any, Dict, List, Tuple

CONFIGURATION, MAPPING, HARDWARE = 64, 65, 66
HERE = os.path.dirname(os.path.abspath(__file__))


class PlanError(Exception):
    """What does not fit the plan, with the exit code that says which kind of mistake it is."""

    def __init__(self, code: int, message: str) -> None:
        Exception.__init__(self, message)
        self.code = code


def differs(code: int, what: str, expected: object, found: object) -> PlanError:
    return PlanError(code, "%s: expected %s, found %s" % (what, expected, found))


def expect(code: int, what: str, expected: object, found: object) -> None:
    if expected != found:
        raise differs(code, what, expected, found)


def load(folder: str = HERE) -> Dict[str, Any]:
    """The launch of this plan; the launcher passes its sha256, so that a folder that changed since is noticed."""
    path = os.path.join(folder, "launch.json")
    with open(path, "rb") as file:
        content = file.read()
    try:
        launch = dict(json.loads(content.decode("utf-8")))
    except (ValueError, TypeError) as error:
        raise differs(CONFIGURATION, path, "a launch", error) from error
    expect(CONFIGURATION, "schema of " + path, "rankplan.launch/1", launch.get("schema"))
    digest = hashlib.sha256(content).hexdigest()
    expect(CONFIGURATION, "sha256 of " + path, os.environ.get("RANKPLAN_DIGEST", digest), digest)
    return launch


def number(name: str) -> int:
    """An environment variable that the launcher must have set to a number."""
    value = os.environ.get(name, "")
    if not value.isdigit():
        raise differs(CONFIGURATION, name, "a number", repr(value))
    return int(value)


def instance() -> int:
    return int(os.environ.get("RANKPLAN_INSTANCE", "0"))


def pool() -> str:
    """Which of several plans that are launched together this one is; empty where there is one."""
    return os.environ.get("RANKPLAN_POOL", "")


def first_gpu_of_instance(launch: Dict[str, Any]) -> int:
    """Position of this instance's rank 0 among the GPUs of all nodes in a row."""
    return instance() * int(launch["world_size"])


def node_name() -> str:
    """What the scheduler calls the node of this process."""
    return os.environ.get("SLURMD_NODENAME") or os.environ.get("NODE_NAME") or os.uname().nodename


def natural(name: str) -> List[Tuple[int, int, str]]:
    """A sort key that reads digits as numbers, so that node7 comes before node66."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split("([0-9]+)", name) if part]


def lines(path: str) -> List[str]:
    """Lines of a file that hold something; none where there is no file."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return [line.strip() for line in file if line.strip()]


def write(path: str, text: str) -> None:
    """The file appears whole or not at all."""
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".part", path)


def said(text: str) -> str:
    """One line, which names the pool where there are several."""
    return "rankplan: %s%s" % (pool() and pool() + ": ", " ".join(text.split()))


def say(text: str) -> None:
    sys.stderr.write(said(text) + "\n")
    sys.stderr.flush()
