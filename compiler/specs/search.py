"""What a search is asked for: the best plan of a cluster, by which measure, under which limits."""

from __future__ import annotations

from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.fields import between, choice, quantity, text
from compiler.specs.limits import CONTENT, RANKS, SECONDS

OBJECTIVES = ("throughput", "step_time", "latency", "gpus")


@dataclass(frozen=True)
class Search:
    """Keys of `parallel=auto`; no plan depends on them, but through what is found."""

    auto: bool = False
    """Degrees are searched for: what `parallel=auto` sets."""
    objective: Optional[str] = choice(OBJECTIVES, None)
    """What is best: most tokens/s, the shortest step, the shortest wait of a client, or the fewest GPUs that carry a load. Where it is
    null, `gpus` with a load and `throughput` without."""
    ttft_s: Optional[float] = quantity("s", (1e-6, SECONDS), (1e-3, 600), None)
    """The longest time to the first token that clients may see, in the steady state."""
    tpot_s: Optional[float] = quantity("s", (1e-6, SECONDS), (1e-3, 10), None)
    """The longest time for each further token."""
    request_s: Optional[float] = quantity("s", (1e-6, SECONDS), (1e-2, 3600), None)
    """The longest time of a whole request."""
    requests_per_s: Optional[float] = quantity("requests/s", (1e-9, 1e12), (1e-4, 1e6), None)
    """The load to carry."""
    pools: str = choice(("together", "apart", "either"), "together")
    """Whether prompts and answers share servers, have servers of their own, or whichever is better."""
    frameworks: list[str] = text(list)
    """Frameworks that are compared: what a list of them, `framework=[vllm,sglang]`, sets beside `parallel=auto`."""
    vary: Any = None
    """Keys that are tried beside the degrees: a list of them, or a mapping to the values to try."""
    gpus: Optional[int] = between(1, RANKS, None)
    """The most GPUs to take; those of the cluster where it is null."""
    fits: str = choice(("expected", "surely"), "expected")
    """Which memory must fit: the estimate, or the upper end of its interval."""
    top: int = between(1, 1000, 5)
    """Plans that are explained."""
    measured: Optional[str] = text(None, longest=CONTENT)
    """Runs to be seen beside the front in the report: the path of a CSV with the column `degrees` and two or more of step_time_s, ttft_s,
    tpot_s, tokens_per_s_per_gpu, memory_bytes, or (with a line break in it) its text."""
    name: Optional[str] = None
    """The folder below `out/searches/`; made from the overrides where it is null."""
