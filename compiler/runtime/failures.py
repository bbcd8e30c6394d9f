"""Who failed first in an attempt, by what ranks left behind and by the exit codes of the steps.

Standard library only, Python 3.6 syntax.
"""

import os
import re
import sys
from typing import TYPE_CHECKING, Any, Dict, List

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import planned
else:
    import planned


def of_instances(run: str, attempt: int, codes: List[str]) -> List[Dict[str, Any]]:
    """Of each instance that failed the rank that failed first, which left that behind; else its step."""
    found = []
    for instance, code in enumerate(map(int, codes)):
        logs = os.path.join(run, "logs", "attempt-%d" % attempt, "instance-%d" % instance)
        told = first_failure(logs, "([0-9]{1,3}) (.+)") if code else None
        if code:
            found.append(dict({"instance": instance}, **failure(run, *(told or (str(code), "the step")))))
    return found


def of_pools(run: str, attempt: int, codes: List[str]) -> List[Dict[str, Any]]:
    """The rank of either pool that failed first, since that ends both; else the step that did."""
    ended = [[*word.replace(".", "=").split("="), "the step"] for word in codes if not word.endswith("=0")]
    told = first_failure(os.path.join(run, "logs", "attempt-%d" % attempt), "([a-z]+) ([0-9]{1,9}) ([0-9]{1,3}) (.+)")
    if not ended:
        return []
    pool, instance, code, who = told or ended[0]
    return [dict({"pool": pool, "instance": int(instance)}, **failure(os.path.join(run, pool), code, who))]


def first_failure(logs: str, pattern: str) -> Any:
    """What the first failing rank left behind; None where it left nothing whole."""
    found = re.fullmatch(pattern, (planned.lines(os.path.join(logs, "first-failure")) or [""])[0])
    return found and found.groups()


def failure(run: str, code: str, who: str) -> Dict[str, Any]:
    """`who` is `WHO on HOST`, taken apart; a host with wrong hardware is left out from now on."""
    host = who.rsplit(" on ", 1)[1] if " on " in who else None
    if int(code) == planned.HARDWARE and host:
        with open(os.path.join(run, "exclude"), "a", encoding="utf-8") as file:
            file.write("%s failed the self-check of %s\n" % (host, who.rsplit(" on ", 1)[0]))
    return {"code": int(code), "who": who, "host": host}
