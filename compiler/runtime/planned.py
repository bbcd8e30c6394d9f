"""What the plan says of this process, for all programs of this folder: the launch, and where its instance begins.

Standard library only, Python 3.6 syntax.
"""

import contextlib
import hashlib
import os
import re
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import shape
else:
    import shape

CONFIGURATION, MAPPING, HARDWARE = 64, 65, 66
HERE = os.path.dirname(os.path.abspath(__file__))
LONGEST = 2000
"""Characters of a line that is said."""


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
    content = read(path)
    launch = parsed(path, content, shape.LAUNCH)  # type: Dict[str, Any]
    wrong = shape.relations(launch)
    if wrong:
        raise PlanError(CONFIGURATION, "%s: %s" % (path, wrong))
    digest = hashlib.sha256(content).hexdigest()
    expect(CONFIGURATION, "sha256 of " + path, os.environ.get("RANKPLAN_DIGEST", digest), digest)
    return launch


def opened(path: Any) -> Any:
    """A file to read bytes from, a regular one: anything else may keep a reader waiting for ever."""
    name = path if isinstance(path, str) else path.decode("utf-8")
    try:
        file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115 - for the caller
    except OSError as error:
        raise PlanError(CONFIGURATION, "%s: %s" % (name, error.strerror)) from None
    except ValueError as error:  # a name that the system does not take
        raise PlanError(CONFIGURATION, "%s: %s" % (name, error)) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise PlanError(CONFIGURATION, "%s: is no regular file" % name)
    return file


def read(path: Any, most: int = -1) -> bytes:
    """What a file holds; where `most` is given, no more than that many bytes."""
    with opened(path) as file:
        content = file.read(most + 1 if most >= 0 else -1)  # type: bytes
    if len(content) > most >= 0:
        raise PlanError(CONFIGURATION, "%s: has more than %d bytes" % (os.fsdecode(path), most))
    return content


def text(path: str) -> str:
    """What a text file holds, in UTF-8 and without NUL."""
    content = read(path)
    try:
        found = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlanError(CONFIGURATION, "%s: byte %d is not UTF-8" % (path, error.start)) from None
    if "\0" in found:
        raise PlanError(CONFIGURATION, "%s: there is a NUL at character %d" % (path, found.index("\0")))
    return found


def parsed(path: str, content: bytes, wanted: Any) -> Any:
    """JSON of the wanted shape."""
    try:
        found = shape.json_of(content)
        shape.check(found, wanted)
    except ValueError as error:
        raise PlanError(CONFIGURATION, "%s: %s" % (path, error)) from None
    return found


def number(name: str, default: Optional[int] = None) -> int:
    """An environment variable that the launcher must have set to a number, where there is no default."""
    value = os.environ.get(name)
    if value is None and default is not None:
        return default
    if not re.fullmatch("[0-9]{1,9}", value or ""):
        raise differs(CONFIGURATION, name, "a number", ascii((value or "")[:80]))
    return int(value or "")


def port(name: str = "MASTER_PORT") -> int:
    found = number(name)
    if not 0 < found < 1 << 16:
        raise differs(CONFIGURATION, name, "a port, 1 to 65535", found)
    return found


def bracketed(address: str) -> str:
    """An address as it stands before a colon and a port: one of IPv6 has colons of its own."""
    return "[%s]" % address if ":" in address and address[0] != "[" else address


def instance() -> int:
    return number("RANKPLAN_INSTANCE", 0)


def pool() -> str:
    """Which of several plans that are launched together this one is; empty where there is one."""
    return os.environ.get("RANKPLAN_POOL", "")


def check_pool() -> str:
    """The pool, whose name enters file names and lines of text."""
    if not re.fullmatch("[a-z]{0,16}", pool()):
        raise differs(CONFIGURATION, "RANKPLAN_POOL", "the name of a pool", ascii(pool()[:80]))
    return pool()


def seat(launch: Dict[str, Any], instance: int) -> Tuple[int, int]:
    """First of the plan's nodes that an instance runs on, and its first GPU there: as many as fit share a node."""
    taken, seats = shape.within(launch)["taken"], launch["gpus_per_node"] // launch["ranks_per_node"]
    block, position = divmod(taken + instance, seats)
    return block * int(launch["nodes"]), position * int(launch["ranks_per_node"])


def before(launch: Dict[str, Any], instance: int) -> int:
    """How many ports an instance leaves to those that share its node: one for each; beside another pool, one for each GPU."""
    gpu = seat(launch, instance)[1]
    return gpu if shape.within(launch)["taken"] else gpu // int(launch["ranks_per_node"])


def first_of_allocation(launch: Dict[str, Any]) -> int:
    """Where the plan's nodes begin among those that the job is given: behind those that only the pool before it has."""
    return int(shape.within(launch)["first"])


def node_name() -> str:
    """What the scheduler calls the node of this process."""
    return os.environ.get("SLURMD_NODENAME") or os.environ.get("NODE_NAME") or os.uname().nodename


def natural(name: str) -> List[Tuple[int, int, str]]:
    """A sort key that reads digits as numbers, so that node7 comes before node66."""
    parts = re.split("([0-9]{1,18})", name)
    return [(0, int(part), "") if i % 2 else (1, 0, part) for i, part in enumerate(parts) if part]


def lines(path: str) -> List[str]:
    """Lines of a file that hold something; none where there is no file."""
    if not os.path.exists(path):
        return []
    return [line.strip() for line in text(path).split("\n") if line.strip()]


def write(path: str, text: str) -> None:
    """The file appears whole or not at all."""
    with open(path + ".part", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".part", path)


def said(text: str) -> str:
    """One line, which names the pool where there are several."""
    line = " ".join([pool() + ":"] * bool(pool()) + text.split())
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    return "rankplan: %s" % (shown if len(shown) <= LONGEST else shown[:LONGEST] + " ...")


def put(number: int, text: str) -> None:
    """Write to output (1) or error (2). Whoever read them may have gone; that is nobody's failure."""
    data = (text + "\n").encode("utf-8", "backslashreplace")
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(number, data) :]


def say(text: str) -> None:
    put(2, said(text))


def begin(main: Callable[[List[str]], int]) -> None:
    """Run a program: with the first three files open, whatever closed them, and with the end of SIGINT that others have."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
