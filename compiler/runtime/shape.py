"""The shapes of JSON files that are read on the cluster, and a check that names what has another.

A shape is a function of a value that raises ValueError, a list of one shape, or a mapping of names to shapes; a name with
`?` may be missing, and the one name `*` stands for any. Standard library only, Python 3.6 syntax.
"""

import json
import re
from typing import Any, Dict

SPANS = 6
GPUS_MOST, NODES_MOST = 1024, 1 << 20
TIMES_MOST = 1 << 31


def json_of(content: bytes) -> Any:
    """JSON in UTF-8. Raises ValueError."""
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError("byte %d is not UTF-8" % error.start) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as error:
        raise ValueError("it is not JSON: %s" % error if content.strip() else "it is empty") from None


def check(value: Any, wanted: Any, where: str = "") -> None:
    """Raises ValueError with the place of the first difference."""
    if isinstance(wanted, list):
        if not isinstance(value, list):
            raise wrong(where, "a list", value)
        for index, item in enumerate(value):
            check(item, wanted[0], "%s[%d]" % (where, index))
    elif isinstance(wanted, dict):
        if not isinstance(value, dict):
            raise wrong(where, "a mapping", value)
        for name in wanted:
            if name[0] not in "?*" and name not in value:
                raise ValueError("there is no %s" % (where + "." * bool(where) + name))
        for name, item in value.items():
            found = wanted.get(name, wanted.get("?" + name, wanted.get("*")))
            if found is not None:
                check(item, found, where + "." * bool(where) + ascii(name)[1:-1])
    else:
        wanted(value, where)


def wrong(where: str, expected: str, found: Any) -> ValueError:
    return ValueError("%s: expected %s, found %s" % (where or "content", expected, ascii(found)[:80]))


def text(value: Any, where: str) -> None:
    """What the system takes as an argument or a value."""
    if not isinstance(value, str) or "\0" in value or re.search("[\ud800-\udfff]", value):
        raise wrong(where, "a text", value)


def boolean(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        raise wrong(where, "true or false", value)


def number(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e30:
        raise wrong(where, "a number", value)


def whole(least: int, most: int = TIMES_MOST) -> Any:
    def of(value: Any, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(where, "a whole number, %d to %d" % (least, most), value)

    return of


def either_of(*wanted: Any) -> Any:
    """Any of several shapes, named by the last."""

    def of(value: Any, where: str) -> None:
        for one in wanted[:-1]:
            try:
                return check(value, one, where)
            except ValueError:
                pass
        return check(value, wanted[-1], where)

    return of


def either(*allowed: str) -> Any:
    def of(value: Any, where: str) -> None:
        if value not in allowed:
            raise wrong(where, " or ".join(allowed), value)

    return of


def perhaps(wanted: Any) -> Any:
    """That, or null."""

    def of(value: Any, where: str) -> None:
        if value is not None:
            check(value, wanted, where)

    return of


def computed(value: Any, where: str) -> None:
    """A text that is completed on the node. None of its names has a form, an index or an attribute."""
    check(value, {"text": text, "times": whole(-TIMES_MOST), "?port": whole(0, (1 << 16) - 1)}, where)
    names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "RANKPLAN_PLAN", "ADDRESS", "START", "PORT", "MASTER_HOST")
    if re.search("[{}]", re.sub("{{|}}|{(%s)}" % "|".join(names), "", value["text"])):
        raise wrong(where + ".text", "no names but " + ", ".join(names), value["text"])


word = either_of(computed, text)
"""An argument, as it is or completed on the node."""


PREFLIGHT = {
    "enabled": boolean,
    "timeout_s": whole(1),
    "bandwidth_command": perhaps([text]),
    "bandwidth": perhaps(number),
    "shm_bytes": number,
    "health_command": perhaps([text]),
    "paths": [text],
}
LAUNCH = {
    "schema": either("rankplan.launch/1"),
    "name": text,
    "fingerprint": text,
    "world_size": whole(1, GPUS_MOST * NODES_MOST),
    "instances": whole(1, GPUS_MOST * NODES_MOST),
    "nodes": whole(1, NODES_MOST),
    "gpus_per_node": whole(1, GPUS_MOST),
    "ranks_per_node": whole(1, GPUS_MOST),
    "spare_nodes": whole(0, NODES_MOST),
    "unit": either("rank", "node"),
    "command": [word],
    "other_command": perhaps([word]),
    "workdir": perhaps(text),
    "environment": {"*": text},
    "secrets": {"*": text},
    "hosts": [text],
    "spares": [text],
    "nics": [text],
    "numa": [whole(0)],
    "nodes_per_leaf": perhaps(whole(1)),
    "?pack": {"sizes": [whole(1)], "slots": [whole(0, NODES_MOST)]},
    "?spans": {
        "mode": either("warn", "require"),
        "domain_nodes": whole(1),
        "kinds": {"*": {"groups": [whole(0)], "members": [[whole(1)]], "bases": [[whole(1)]]}},
    },
    "max_restarts": whole(0),
    "max_idle_restarts": whole(0),
    "restart_codes": [whole(0)],
    "checkpoint": perhaps(text),
    "checkpoint_signal_s": whole(0),
    "preflight": PREFLIGHT,
    "?within": {"nodes": whole(1, NODES_MOST), "first": whole(0, NODES_MOST), "taken": whole(0, GPUS_MOST)},
    "?standby": whole(0, NODES_MOST),
    "?http_port": computed,
    "?http_host": text,
    "?http_scheme": either("http", "https"),
    "?computed_environment": {"*": computed},
}


def relations(launch: Dict[str, Any]) -> str:
    """What contradicts what; empty where nothing does."""
    size, nodes, ranks, gpus = (launch[name] for name in ("world_size", "nodes", "ranks_per_node", "gpus_per_node"))
    names = [*launch["environment"], *launch["secrets"], *launch.get("computed_environment", {})]
    bad = [name for name in names if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)]
    if bad:
        return "%s is no name of a variable" % ascii(bad[0])[:80]
    if not (nodes - 1) * ranks < size <= nodes * ranks or ranks > gpus:
        return "world_size is %d, and %d nodes run %d ranks each on %d GPUs" % (size, nodes, ranks, gpus)
    for name in ("nics", "numa"):
        if len(launch[name]) not in (0, gpus):
            return "%s has %d entries for %d GPUs" % (name, len(launch[name]), gpus)
    inside, own = within(launch), all_nodes(launch)
    if inside["first"] + own > inside["nodes"]:
        return "%d nodes from node %d on are not within %d" % (own, inside["first"], inside["nodes"])
    if len(launch["hosts"]) not in (0, inside["nodes"]):
        return "hosts has %d names, and %d nodes hold ranks" % (len(launch["hosts"]), inside["nodes"])
    return placement(launch)


def placement(launch: Dict[str, Any]) -> str:
    """The same of groups, and of blocks of slots."""
    for kind, found in launch.get("spans", {"kinds": {}})["kinds"].items():
        runs = found["members"] + found["bases"]
        if len(found["groups"]) != SPANS:
            return "groups of kind %s are not counted by %d spans" % (ascii(kind)[:80], SPANS)
        if any(len(run) != 2 for run in runs) or sum((run[0] - 1) * run[1] for run in runs) >= launch["world_size"]:
            return "groups of kind %s are not of its %d ranks" % (ascii(kind)[:80], launch["world_size"])
    blocks = launch.get("pack", {"slots": [], "sizes": []})
    if sorted(blocks["slots"]) != list(range(len(blocks["slots"]))):
        return "pack does not name each slot once"
    if any(larger % smaller for larger, smaller in zip(blocks["sizes"], blocks["sizes"][1:])):
        return "blocks of pack are not made of each other: %s" % blocks["sizes"]
    return ""


def all_nodes(launch: Dict[str, Any]) -> int:
    """Nodes that hold ranks of any instance."""
    taken, seats = launch.get("within", {"taken": 0})["taken"], launch["gpus_per_node"] // launch["ranks_per_node"]
    return -(-int(taken + launch["instances"]) // int(seats)) * int(launch["nodes"])


def within(launch: Dict[str, Any]) -> Dict[str, int]:
    """Pools that share nodes share an allocation: its nodes, the first of this pool's, and seats of it that are the other's."""
    return dict(launch.get("within") or {"nodes": all_nodes(launch), "first": 0, "taken": 0})


ATTEMPT = {
    "attempt": whole(0),
    "began": whole(0, 1 << 62),
    "progress": perhaps(text),
    "?outcome": text,
}
SUMMARY = {"schema": either("rankplan.summary/1"), "job": text, "attempts": [ATTEMPT], "?pools": {"*": {}}}
"""summary.json, as far as it is read again."""
