"""How each controller names and orders pods: from manifests, as a real parser reads them, to pods with their environment.

Sources: the controllers of Kubernetes (Job), JobSet, LeaderWorkerSet, Kubeflow Trainer, Volcano and the MPI operator.
Names are `<job>-<index>`, `<js>-<rj>-<ji>-<pi>`, `<lws>-<g>` and `<lws>-<g>-<w>`, `<tj>-node-0-<pi>`, `<job>-<task>-<i>`,
`<job>-worker-<i>`; what each injects into a pod's environment, and whether first or last, is what matters for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.plans import SmallPlan, SmallPools, files

Node = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same language; ten times as fast where it is there."""
JOBSET = "jobset.sigs.k8s.io/"
MPI = "training.kubeflow.org/"
LWS = "leaderworkerset.sigs.k8s.io/"
INDEX = "batch.kubernetes.io/job-completion-index"
CONTROLLERS = ("kubernetes_job", "jobset", "lws", "trainjob", "volcano", "mpijob")


@dataclass(frozen=True)
class Pod:
    """A pod as the kubelet starts it. `index` is its place among its controller's pods; DNS knows it as `address`."""

    address: str
    index: int
    command: list[str]
    environment: dict[str, str]
    spec: Node
    labels: dict[str, str] = field(default_factory=dict)


def loaded(text: str) -> list[Node]:
    return list(yaml.load_all(text, Loader=LOADER))


def documents(made: SmallPlan | SmallPools) -> list[Node]:
    """Every object that the folder holds."""
    texts = [str(item.text) for path, item in files(made).items() if path.startswith("kubernetes/")]
    return [document for text in texts for document in loaded(text)]


def pods(found: list[Node]) -> list[Pod]:
    """The pods of all objects, those of an instance together, in the order of their indices."""
    return [pod for item in found if item["kind"] in _MAKERS for pod in _MAKERS[item["kind"]](item, found)]


def expand(value: str, known: dict[str, str]) -> str:
    """What the kubelet makes of a value: $(NAME) of a known variable, and $$ for $."""
    return re.sub(r"\$(\$|\(([^)]*)\))", lambda at: "$" if at[1] == "$" else known.get(at[2], at[0]), value)


def _start(
    template: Node, host: str, subdomain: str, index: int, *, first: Node, last: Node, marks: dict[str, str]
) -> Pod:
    """`first` and `last` are variables that the controller puts before and after the container's own."""
    spec = template["spec"]
    (container,) = spec["containers"]
    known: dict[str, str] = dict(first)
    for entry in container.get("env", []):
        if "value" in entry:
            known[entry["name"]] = expand(entry["value"], known)
        elif "fieldRef" in entry["valueFrom"]:
            known[entry["name"]] = _field(entry["valueFrom"]["fieldRef"]["fieldPath"], host, marks)
    known |= {name: value for name, value in last.items() if name not in known}
    command = [expand(word, known) for word in container["command"]]
    labels = {**template["metadata"]["labels"], **marks}
    return Pod(f"{host}.{subdomain}", index, command, known, spec, labels)


def _field(path: str, host: str, marks: dict[str, str]) -> str:
    found = re.fullmatch(r"metadata\.(?:labels|annotations)\['([^']+)'\]", path)
    return marks[found[1]] if found else f"node-of-{host}"


def _of_job(spec: Node, name: str, subdomain: str, marks: dict[str, str], first: int = 0) -> Iterator[Pod]:
    """Pods of an Indexed Job: the index variable is appended, unless it is declared."""
    assert spec["completionMode"] == "Indexed"
    for index in range(spec["completions"]):
        own = {**marks, INDEX: str(index), "batch.kubernetes.io/job-name": name}
        last = {"JOB_COMPLETION_INDEX": str(index)}
        host = f"{name}-{index}"
        yield _start(spec["template"], host, subdomain, first + index, first={}, last=last, marks=own)


def _job(item: Node, found: list[Node]) -> Iterator[Pod]:
    name, subdomain = item["metadata"]["name"], item["spec"]["template"]["spec"]["subdomain"]
    (service,) = [other for other in found if other["kind"] == "Service" and other["metadata"]["name"] == subdomain]
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    yield from _of_job(item["spec"], name, subdomain, {})


def _jobset(item: Node, _: list[Node]) -> Iterator[Pod]:
    yield from _children(item["metadata"]["name"], item["spec"])


def _children(name: str, spec: Node) -> Iterator[Pod]:
    """Child Jobs `<js>-<rj>-<ji>`; the Service has the subdomain's name, by default the JobSet's."""
    assert spec["network"]["publishNotReadyAddresses"]
    subdomain, first = spec["network"].get("subdomain", name), 0
    for child in spec["replicatedJobs"]:
        for index in range(child["replicas"]):
            marks = {f"{JOBSET}jobset-name": name, f"{JOBSET}replicatedjob-name": child["name"]}
            marks[f"{JOBSET}job-index"] = str(index)
            made = list(_of_job(child["template"]["spec"], f"{name}-{child['name']}-{index}", subdomain, marks, first))
            yield from made
            first += len(made)


def _trainjob(item: Node, found: list[Node]) -> Iterator[Pod]:
    """The runtime's JobSet under the TrainJob's name, with as many pods as the TrainJob has nodes."""
    name, ref = item["metadata"]["name"], item["spec"]["runtimeRef"]
    (runtime,) = [other for other in found if (other["kind"], other["metadata"]["name"]) == (ref["kind"], ref["name"])]
    spec = runtime["spec"]["template"]["spec"]
    (child,) = spec["replicatedJobs"]
    assert child["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    assert child["template"]["spec"]["completions"] == item["spec"]["trainer"]["numNodes"]
    yield from _children(name, spec)


def _lws(item: Node, _: list[Node]) -> Iterator[Pod]:
    """The leader is worker 0, its name has no worker's index; variables of a group come first in the environment."""
    name, spec = item["metadata"]["name"], item["spec"]
    template = spec["leaderWorkerTemplate"]
    for group in range(spec["replicas"]):
        for worker in range(template["size"]):
            leader = template.get("leaderTemplate", template["workerTemplate"])
            first = {
                "LWS_LEADER_ADDRESS": f"{name}-{group}.{name}.namespace",
                "LWS_GROUP_SIZE": str(template["size"]),
                "LWS_WORKER_INDEX": str(worker),
            }
            marks = {f"{LWS}group-index": str(group), f"{LWS}worker-index": str(worker), f"{LWS}name": name}
            host = f"{name}-{group}" + (f"-{worker}" if worker else "")
            own = template["workerTemplate"] if worker else leader
            yield _start(own, host, f"{name}.namespace", worker, first=first, last={}, marks=marks)


def _disaggregated(item: Node, found: list[Node]) -> Iterator[Pod]:
    """A LeaderWorkerSet for each role, named after a hash, with the labels of the role and of the set."""
    for role in item["spec"]["roles"]:
        name = f"{item['metadata']['name']}-0-0a1b2c3d-{role['name']}"
        yield from _lws({"metadata": {**role["metadata"], "name": name}, "spec": role["spec"]}, found)


def _volcano(item: Node, _: list[Node]) -> Iterator[Pod]:
    """The env plugin appends the index; the svc plugin makes the Service and gives pods their host names."""
    if item["apiVersion"] != "batch.volcano.sh/v1alpha1":
        yield from _job(item, _)
        return
    name, spec = item["metadata"]["name"], item["spec"]
    assert set(spec["plugins"]) == {"env", "svc"}
    (task,) = spec["tasks"]
    for index in range(task["replicas"]):
        last = {"VK_TASK_INDEX": str(index), "VC_TASK_INDEX": str(index)}
        marks = {"volcano.sh/job-name": name, "volcano.sh/task-index": str(index)}
        yield _start(task["template"], f"{name}-{task['name']}-{index}", name, index, first={}, last=last, marks=marks)


def _mpijob(item: Node, _: list[Node]) -> Iterator[Pod]:
    """Workers, whose command is a server for logins; the launcher stands last, with index -1."""
    name, roles = item["metadata"]["name"], item["spec"]["mpiReplicaSpecs"]
    for index in range(roles["Worker"]["replicas"]):
        template = roles["Worker"]["template"]
        marks = {f"{MPI}job-name": name, f"{MPI}job-role": "worker", f"{MPI}replica-index": str(index)}
        yield _start(template, f"{name}-worker-{index}", name, index, first={}, last={}, marks=marks)
    launcher = roles["Launcher"]["template"]
    marks = {f"{MPI}job-name": name, f"{MPI}job-role": "launcher"}
    yield _start(launcher, f"{name}-launcher", name, -1, first={}, last={}, marks=marks)


_MAKERS: dict[str, Callable[[Node, list[Node]], Iterator[Pod]]] = {
    "Job": _volcano,
    "JobSet": _jobset,
    "TrainJob": _trainjob,
    "LeaderWorkerSet": _lws,
    "DisaggregatedSet": _disaggregated,
    "MPIJob": _mpijob,
}
