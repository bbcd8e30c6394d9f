"""The glossary: one word for one thing. Words that are values in files are enums; the others name where the code has them.

docs/glossary.md is written from here. Each member of an enum is its own text, so that it stands in a file as it is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from compiler.frozen import dataclass


class Word(StrEnum):
    """A text with what it means."""

    meaning: str

    def __new__(cls, text: str, meaning: str) -> Self:
        found = str.__new__(cls, text)
        found._value_ = text
        found.meaning = meaning
        return found

    def __repr__(self) -> str:
        return repr(self.value)


class AxisName(Word):
    """A named dimension of the rank tensor. The two grids hold the same ranks and share `pp`."""

    TP = "tp", "attention grid: ranks that share each matrix of attention and dense layers; its degree is `tp`"
    CP = "cp", "attention grid: ranks that share each sequence; its degree is `cp`"
    DP = "dp", "attention grid: ranks with sequences of their own; its degree is `adp`, and no degree `dp` names it"
    PP = "pp", "both grids: stages; its degree is `pp`"
    ETP = "etp", "expert grid: ranks that share each matrix of an expert; its degree is `etp`"
    EP = "ep", "expert grid: ranks that the experts of a layer are spread over; its degree is `ep`"
    EDP = "edp", "expert grid: ranks that hold the same experts; its degree is `edp`"


class Degree(Word):
    """A number that sizes the axes: tp*cp*adp*pp = etp*ep*edp*pp ranks."""

    EP = "ep", "expert parallelism"
    ETP = "etp", "tensor parallelism of experts; that of `tp` unless it is written, 1 without experts"
    TP = "tp", "tensor parallelism"
    CP = "cp", "context parallelism"
    PP = "pp", "pipeline parallelism: how many stages"
    VPP = "vpp", "virtual pipeline parallelism: chunks of each stage"
    DP = "dp", "as a user writes it: data parallelism with `ep` as a factor of its own, so that adp = ep*dp"
    ADP = "adp", "attention data parallelism itself: the size of the axis `dp`"
    EDP = "edp", "expert data parallelism; it follows from the others and is not written"


class Span(Word):
    """The slowest link that a group crosses, from the nearest to the farthest."""

    GPU = "gpu", "none: the group is one rank"
    NVLINK = "nvlink", "NVLink, within one NVLink domain"
    NODE = "node", "PCIe: one node that has no NVLink between these GPUs"
    LEAF = "leaf", "the network, below one leaf switch"
    POD = "pod", "the network, below the switches of one pod"
    FABRIC = "fabric", "the network, from pod to pod"


class Kind(Word):
    """Which ranks a group joins: those that differ in these axes alone. A framework's own kind is `<framework>.<kind>`."""

    TP = "tp", "along tp"
    CP = "cp", "along cp"
    DP = "dp", "along dp: gradients of dense layers"
    DP_CP = "dp_cp", "along dp and cp: gradients of dense layers where sequences are cut"
    PP = "pp", "along pp: the stages of one pipeline"
    TP_PP = "tp_pp", "along tp and pp"
    TP_CP = "tp_cp", "along tp and cp"
    EP = "ep", "along ep: dispatch and combine of tokens"
    ETP = "etp", "along etp"
    ETP_EP = "etp_ep", "along etp and ep: all experts of a layer"
    ETP_EP_PP = "etp_ep_pp", "along etp, ep and pp: the model once"
    EDP = "edp", "along edp: gradients of experts"


ENUMS: tuple[type[Word], ...] = (AxisName, Degree, Kind, Span)


@dataclass(frozen=True)
class Term:
    """A word that is no value of a file. `place`: where the code has it, as module:name."""

    word: str
    meaning: str
    place: str


TERMS = (
    Term("rank", "global rank of one instance, 0 .. world_size-1", "compiler.layout.grid:Ranks"),
    Term("grid", "the ranks as named axes with sizes and strides, fastest first", "compiler.layout.grid:Grid"),
    Term("group", "an ordered list of ranks that share a communicator", "compiler.layout.groups:Groups"),
    Term("stage", "what one pipeline rank holds; a chunk is one virtual stage of it", "compiler.layout.stages:Stages"),
    Term("expert block", "the experts of a layer on one ep rank", "compiler.layout.experts:ExpertBlocks"),
    Term(
        "replica",
        "the smallest set of ranks that is closed under tp, cp, pp, etp and ep: the model once",
        "compiler.failures.replicas:Replicas",
    ),
    Term(
        "slot",
        "position of a node in the plan, 0 .. nodes-1; it becomes a host when the job is bound to machines",
        "compiler.cluster.slots:Slots",
    ),
    Term("host", "a machine by its name", "compiler.cluster.inventory:Host"),
    Term("share", "the GPUs that an instance has of each of its nodes", "compiler.cluster.share:Share"),
    Term("layout", "grids, groups, stages, experts and slots, in closed form", "compiler.cluster.layout:Layout"),
    Term("world", "a layout with the configuration that it is of", "compiler.world:World"),
    Term("instance", "one independent world of a framework; most plans have one", "compiler.specs.config:Framework"),
    Term(
        "part", "what a launch is made of: a plan has one without a name, or prefill and decode", "compiler.plan:Part"
    ),
    Term("pool", "a part's servers and nodes, as the workload declares them", "compiler.specs.workload:Pool"),
    Term("plan", "what is compiled and launched as one", "compiler.plan:Plan"),
    Term("draft", "a plan while it is compiled: what the passes so far have made", "compiler.passes:Draft"),
    Term(
        "check",
        "what a rule found: pass, warn or fail, with numbers and what to write instead",
        "compiler.checks:Check",
    ),
    Term("claim", "a statement about a plan, computed and judged", "compiler.claims.judge:Verdict"),
    Term("adapter", "a framework's way of doing what frameworks differ in", "compiler.frameworks.adapter:Adapter"),
    Term(
        "traits",
        "what a framework makes of a plan, as far as memory and time follow from it",
        "compiler.layout.traits:Traits",
    ),
    Term("target", "what starts a plan: a scheduler, a controller, this machine", "compiler.schedulers.target:Target"),
    Term("shape", "what costs read of one plan, or of arrays of them", "compiler.costs.case:Case"),
    Term(
        "calibration",
        "curves of a GPU and constants of a program; assumed from rates where nobody measured",
        "compiler.costs.calibration:Calibration",
    ),
    Term(
        "algorithm",
        "how a collective is run: how often its bytes pass, and in how many steps",
        "compiler.costs.comm.algorithms:Algorithm",
    ),
    Term(
        "bubble",
        "the part of a pipeline's time in which a stage waits for others",
        "compiler.costs.pipeline.closed:bubble",
    ),
    Term("section", "a topic of the report: texts, lists and tables", "compiler.report.blocks:Section"),
    Term(
        "verdict",
        "what a difference of two plans means for a job that runs the old one",
        "compiler.diff.verdict:Verdict",
    ),
)
"""In the order in which a compile meets them."""

FIELD = (
    ("step time", "seconds of one optimizer step of training"),
    ("micro-batch", "sequences that a rank has at a time; a step has several, and sums their gradients"),
    ("MFU", "model FLOPs utilisation: FLOPs of the model, without recomputation, over the peak of the GPUs' time"),
    ("TTFT", "time to the first token: from a request to the first token of its answer"),
    ("TPOT", "time per output token: between two tokens of an answer"),
    ("prefill, decode", "the phases of serving: a prompt is read; its answer is written, a token a step"),
    ("dispatch, combine", "the two all-to-alls of a MoE layer: tokens go to their experts, and come back"),
    ("overlap", "a collective hides behind work that does not wait for it; what exceeds that work is exposed"),
    ("interval", "in which four of five measurements would lie"),
)
"""Words of the field, as everybody uses them."""
