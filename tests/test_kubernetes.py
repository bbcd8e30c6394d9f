"""What a pod is given, and what it makes of it, under each controller."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.schedulers import registry
from compiler.schedulers.job import job
from compiler.schedulers.kubernetes import names
from compiler.specs.launch import Preflight
from compiler.specs.site import KubernetesSite, Site
from tests.controllers import CONTROLLERS, Node, Pod, documents, pods
from tests.kubernetes_plans import VALUES, kubernetes, made
from tests.manifests import templates
from tests.plans import SmallPlan, files

BY_SPAWN = [name for name in CONTROLLERS if name != "mpijob"]


def of_kind(plan: SmallPlan, kind: str) -> list[Node]:
    return [document for document in documents(plan) if document["kind"] == kind]


def specs(plan: SmallPlan) -> list[Node]:
    """Every pod's spec in the manifests."""
    return [template["spec"] for document in documents(plan) for template in templates(document)]


def unpack(plan: SmallPlan, spec: Node, folder: Path) -> None:
    """Put the ConfigMaps together as the kubelet would."""
    maps = {item["metadata"]["name"]: item for item in of_kind(plan, "ConfigMap")}
    for source in spec["volumes"][0]["projected"]["sources"]:
        shared = maps.pop(source["configMap"]["name"])
        values = {key: value.encode() for key, value in shared.get("data", {}).items()}
        values |= {key: base64.b64decode(value) for key, value in shared.get("binaryData", {}).items()}
        assert sorted(item["key"] for item in source["configMap"]["items"]) == sorted(values)
        for item in source["configMap"]["items"]:
            path = folder / item["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(values[item["key"]])
    assert not maps


def start(pod: Pod, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A pod's own command, here: its plan is in `folder`, and rank 0 is this machine."""
    command = [word.replace(pod.environment["RANKPLAN_PLAN"], str(folder)) for word in pod.command]
    own = {**pod.environment, "MASTER_ADDR": "127.0.0.1", "NODE_NAME": f"n{pod.index}", **environment}
    return subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("target", CONTROLLERS)
def test_hostile_values_reach_the_container_unchanged(target: str) -> None:
    """As a parser reads the manifest and the kubelet expands it; under MPI the launcher has them and passes them on."""
    pod = pods(documents(made(target, "full")))[-1]
    assert {name: pod.environment[name] for name in VALUES} == VALUES


@pytest.mark.parametrize("target", [name for name in BY_SPAWN if name != "lws"])
def test_what_pods_start_is_the_plan(target: str, tmp_path: Path) -> None:
    plan = kubernetes(target, 2, 2, environment=VALUES, python=sys.executable)
    unpack(plan, specs(plan)[0], tmp_path)
    assert files(plan)["plan.json"].text == (tmp_path / "plan.json").read_text()
    done = [start(pod, tmp_path) for pod in pods(documents(plan))]
    assert [item.returncode for item in done] == [0, 0], done[0].stderr
    assert sorted(line for item in done for line in item.stdout.splitlines()) == [
        f"rankplan: rank {rank} on n{rank // 2} (unbound): slot {rank // 2}, GPU unchecked: as planned"
        for rank in range(4)
    ]


def test_a_pod_of_a_set_that_serves_stays_when_its_ranks_have_ended(tmp_path: Path) -> None:
    plan = kubernetes("lws", 1, 2, python=sys.executable)
    (pod,) = pods(documents(plan))
    unpack(plan, pod.spec, tmp_path)
    command = [word.replace(pod.environment["RANKPLAN_PLAN"], str(tmp_path)) for word in pod.command]
    environment = {**pod.environment, "MASTER_ADDR": "127.0.0.1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "exit code 0 is kept until this pod is told to stop" not in process.stderr.readline():
        assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=60) == 0
    process.communicate()


@pytest.mark.parametrize(("code", "given"), [(64, {"RANKPLAN_DIGEST": "0"}), (65, {"NODE_NAME": "elsewhere"})])
def test_the_self_checks_exit_code_is_the_pods(tmp_path: Path, code: int, given: dict[str, str]) -> None:
    hosts = "host,leaf,pod,rack\nn0,l,p,r\nn1,l,p,r\n"
    plan = kubernetes("jobset", 2, 2, python=sys.executable, hosts=hosts, pin=True)
    pod = pods(documents(plan))[0]
    unpack(plan, pod.spec, tmp_path)
    assert start(pod, tmp_path, **given).returncode == code


def test_a_table_of_another_plan_stops_the_pod(tmp_path: Path) -> None:
    plan = kubernetes("kubernetes_job", 2, 2, python=sys.executable)
    pod = pods(documents(plan))[1]
    unpack(plan, pod.spec, tmp_path)
    table = tmp_path / "rank_map.csv"
    table.write_text(table.read_text().replace("\n3,1,,1,", "\n3,1,,0,"))
    done = start(pod, tmp_path)
    assert done.returncode == 65
    assert "rank, slot and local rank: expected ('3', '1', '1'), found ('3', '1', '0')" in done.stderr


@pytest.mark.parametrize("target", CONTROLLERS)
def test_every_pod_is_closed_and_has_what_ranks_need(target: str) -> None:
    for spec in specs(made(target, "two")):
        (container,) = spec["containers"]
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
        assert spec["restartPolicy"] == ("Always" if target == "lws" else "Never")
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {"allowPrivilegeEscalation": False}
        assert spec["terminationGracePeriodSeconds"] == 130  # the checkpoint's 120 s and 10 of our own
        assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(64 * 2**30)}} in spec["volumes"]
        if container["command"][3:4] == ["/etc/rankplan/runtime/spawn.py"]:
            assert container["resources"]["limits"] == container["resources"]["requests"] == {"nvidia.com/gpu": "8"}


@pytest.mark.parametrize("target", CONTROLLERS)
def test_site_and_options_reach_every_pod(target: str) -> None:
    plan = made(target, "full")
    for document in documents(plan):
        assert document["metadata"]["namespace"] == "team-a"
    for spec in specs(plan):
        (container,) = spec["containers"]
        assert (spec["priorityClassName"], spec["serviceAccountName"]) == ("high", "runner")
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
        assert spec["securityContext"] == {
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]},
            "readOnlyRootFilesystem": True,
        }
        mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
        assert mounts == {"/etc/rankplan": True, "/dev/shm": False, "/tmp": False, "/data": True, "/c d": False}
        if "resources" in container:
            assert spec["nodeSelector"] == {"cloud.google.com/gke-accelerator": "h100", "pool": "true"}
            assert container["resources"]["limits"] == {
                "nvidia.com/gpu": "8",
                "rdma/ib": "8",
                "cpu": "96",
                "memory": str(2**40),
                "hugepages-2Mi": str(5 * 2**30),
            }
    with_secret = [spec for spec in specs(plan) if "env" in spec["containers"][0]]
    entry = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    assert with_secret
    assert all(entry in spec["containers"][0]["env"] for spec in with_secret)
    for document in documents(plan):
        for template in templates(document):
            assert template["metadata"]["annotations"]["networking.gke.io/default-interface"] == "eth0"


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_pinned_plan_requires_the_set_of_its_hosts(target: str) -> None:
    """Which index runs on which of them is the scheduler's choice: the check order-unproven says so."""
    placed = [spec["affinity"]["nodeAffinity"] for spec in specs(made(target, "full")) if "affinity" in spec]
    assert placed
    for affinity in placed:
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"]
        assert term == {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1", "n2", "n3"]}


@pytest.mark.parametrize("target", BY_SPAWN)
def test_instances_that_share_a_node_ask_for_their_own_share(target: str) -> None:
    site = Site(name="rdma", kubernetes=KubernetesSite(rdma_resource="rdma/ib", rdma_per_node=8, host_network=True))
    plan = kubernetes(target, 1, 8, instances=2, site=site)
    for spec in specs(plan):
        assert spec["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4", "rdma/ib": "4"}
    ports = [pod.environment["MASTER_PORT"] for pod in pods(documents(plan))]
    assert ports == (["29500", "29500"] if target == "lws" else ["29500", "29501"])


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_parser_reads_the_typed_data_back(target: str) -> None:
    plan = made(target, "full")
    controller: Any = registry.target(target).artifacts
    written = controller.__self__.documents(job(plan), plan.config.scheduler[target])
    assert documents(plan) == [item for part in written.values() for item in part]


def test_an_indexed_job_is_a_gang_that_is_not_retried() -> None:
    (started,) = of_kind(kubernetes("kubernetes_job", 4, 8), "Job")
    spec = started["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 86400)
    fail, ignore = spec["podFailurePolicy"]["rules"]
    assert fail["onExitCodes"] == {"operator": "In", "values": [64, 65, 66]}
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")


@pytest.mark.parametrize("target", BY_SPAWN)
def test_ranks_start_after_the_preflight_with_their_devices_and_values(target: str, tmp_path: Path) -> None:
    plan = kubernetes(target, 2, 8, environment={"A": "b"}, preflight=Preflight(bandwidth_command=["echo", "1"]))
    for spec in specs(plan):
        (first,), (ranks,) = spec["initContainers"], spec["containers"]
        assert first["command"][-2:] == ["/etc/rankplan/runtime/preflight.py", "--pod"]
        assert all(first[key] == ranks[key] for key in ("image", "env", "resources", "securityContext", "volumeMounts"))
    unpack(plan, specs(plan)[0], tmp_path)
    look = Pod("p", 0, specs(plan)[0]["initContainers"][0]["command"], pods(documents(plan))[0].environment, {})
    done = start(look, tmp_path, PATH="/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (0, "rankplan: preflight on n0: 0 GPUs\n"), done.stderr


@pytest.mark.parametrize("target", CONTROLLERS)
def test_no_preflight_where_it_is_off_or_where_mpi_starts_the_ranks(target: str) -> None:
    plan = kubernetes(target, 2, 8, preflight=Preflight(enabled=target == "mpijob", bandwidth_command=["echo"]))
    assert not [spec for spec in specs(plan) if "initContainers" in spec]
    said = [item.message for item in registry.checks(plan) if item.id == "preflight"]
    expected = [
        "launch.preflight.bandwidth_command does not run under scheduler=mpijob, whose workers wait for MPI alone"
    ]
    assert said == (expected if target == "mpijob" else [])


@pytest.mark.parametrize("target", ["jobset", "trainjob"])
def test_a_set_is_started_again_as_a_whole(target: str) -> None:
    plan = kubernetes(target, 4, 8, max_restarts=5)
    kind = {"jobset": "JobSet", "trainjob": "TrainingRuntime"}[target]
    spec = of_kind(plan, kind)[0]["spec"]
    spec = spec if target == "jobset" else spec["template"]["spec"]
    policy = spec["failurePolicy"]
    assert (policy["maxRestarts"], policy["restartStrategy"]) == (5, "BlockingRecreate")
    assert [rule["action"] for rule in policy["rules"]] == [
        "RestartJobSetAndIgnoreMaxRestarts",
        "FailJobSet",
        "FailJobSet",
    ]
    child = spec["replicatedJobs"][0]["template"]["spec"]
    assert child["backoffLimit"] == 0
    assert [rule["action"] for rule in child["podFailurePolicy"]["rules"]] == ["FailJob", "FailJob"]


def test_a_volcano_job_is_a_gang() -> None:
    (started,) = of_kind(kubernetes("volcano", 4, 8, max_restarts=5), "Job")
    spec = started["spec"]
    assert (spec["minAvailable"], spec["tasks"][0]["minAvailable"], spec["maxRetry"]) == (4, 4, 6)
    codes = [(policy["exitCode"], policy["action"]) for policy in spec["policies"] if "exitCode" in policy]
    assert codes == [(64, "AbortJob"), (65, "AbortJob"), (66, "AbortJob")]
    events = {policy["event"]: policy["action"] for policy in spec["policies"][3:]}
    assert events == {"PodFailed": "RestartJob", "PodEvicted": "RestartJob", "TaskCompleted": "CompleteJob"}


def test_a_group_is_recreated_as_a_whole() -> None:
    (lws,) = of_kind(kubernetes("lws", 4, 2, instances=2), "LeaderWorkerSet")
    template = lws["spec"]["leaderWorkerTemplate"]
    assert (lws["spec"]["replicas"], template["size"]) == (2, 2)
    assert template["restartPolicy"] == "RecreateGroupOnPodRestart"


def test_a_train_jobs_ranks_are_started_by_nobody_else() -> None:
    """Without a policy for torch or MPI the trainer injects nothing and starts no torchrun."""
    (runtime,) = of_kind(kubernetes("trainjob", 4, 8), "TrainingRuntime")
    assert runtime["spec"]["mlPolicy"] == {"numNodes": 4}
    (started,) = of_kind(kubernetes("trainjob", 4, 8, options={"gang": "volcano"}), "TrainJob")
    assert started["spec"]["activeDeadlineSeconds"] == 86400


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_compute_domain_is_claimed_by_every_pod_with_gpus(target: str) -> None:
    plan = made(target, "racks")
    (domain,) = of_kind(plan, "ComputeDomain")
    claim = domain["spec"]["channel"]["resourceClaimTemplate"]["name"]
    assert domain["spec"]["numNodes"] == 36
    for spec in specs(plan):
        container = spec["containers"][0]
        if "resources" in container:
            assert spec["resourceClaims"] == [{"name": "compute-domain", "resourceClaimTemplateName": claim}]
            assert container["resources"]["claims"] == [{"name": "compute-domain"}]


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        ("kubernetes_job", {"options": {"namespace": "Team_A"}}, "scheduler.kubernetes_job.namespace=Team_A is not a Kubernetes name ; "),
        ("jobset", {"options": {"queue": "x" * 64}}, "scheduler.jobset.queue=x+ is not a Kubernetes name ; write up to 63"),
        ("lws", {"options": {"queue_priority": "A"}}, "scheduler.lws.queue_priority=A is not"),
        ("mpijob", {"options": {"image_pull_secrets": ["-"]}}, "scheduler.mpijob.image_pull_secrets=- is not"),
        ("mpijob", {"options": {"mpirun": []}}, "scheduler.mpijob.mpirun names no program"),
        ("mpijob", {"options": {"sshd": [""]}}, "scheduler.mpijob.sshd names no program"),
        ("volcano", {"environment": {"VC_TASK_INDEX": "x"}}, "launch.environment.VC_TASK_INDEX is set on Kubernetes by"),
        ("trainjob", {"environment": {"NODE_NAME": "x"}}, "launch.environment.NODE_NAME is set on Kubernetes by the pod"),
        ("jobset", {"secrets": {"T": {"secret": "A b", "key": "k"}}}, "launch.secrets.T names Secret A b, key k, which cannot"),
        ("jobset", {"mounts": ["/a:/dev/shm"]}, "mount target /dev/shm is taken ; write another target"),
        ("jobset", {"mounts": ["/a:/x", "/b:/x/"]}, "mount target /x/ is taken"),
        ("jobset", {"mounts": ["/a/../b:/x"]}, "mount /a/../b:/x has ':' in its target or '..' in its source"),
        ("jobset", {"environment": {"BIG": "x" * 2**20}}, r"runtime/launch.json would be \d+ bytes of a ConfigMap, and Kubernetes takes 1048576"),
        ("jobset", {"site": {"node_selector": {"a b": ""}}}, "site.kubernetes.node_selector has 'a b', which is no name"),
        ("jobset", {"site": {"node_selector": {"a": "b c"}}}, "site.kubernetes.node_selector.a=b c is no value of a label"),
        ("jobset", {"site": {"pod_annotations": {"": "1"}}}, "site.kubernetes.pod_annotations has '', which is no name"),
        ("jobset", {"site": {"rdma_resource": "rdma ib"}}, "site.kubernetes.rdma_resource has 'rdma ib'"),
        ("jobset", {"site": {"hugepages_bytes": 2**21}}, "site.kubernetes.hugepages_bytes needs memory or CPUs"),
    ],
)  # fmt: skip
def test_what_kubernetes_cannot_carry_is_refused(target: str, given: dict[str, Any], message: str) -> None:
    if "site" in given:
        given = {**given, "site": Site(name="bad", kubernetes=KubernetesSite(**given["site"]))}
    with pytest.raises(ConfigError, match=message):
        files(kubernetes(target, **given))


LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


@pytest.mark.parametrize("plan_name", ["a", "A.b_c", "9lives", "x" * 100, "a." * 50, "x" * 61 + "--y", "-_-x", "_"])
@pytest.mark.parametrize("target", CONTROLLERS)
@pytest.mark.parametrize(("nodes", "instances"), [(1, 1), (130, 1), (24, 12)])
def test_every_name_and_host_name_fits_its_budget(target: str, plan_name: str, nodes: int, instances: int) -> None:
    """Also with a queue, which leaves the least room; the longest pod name is what the controllers make of it."""
    plan = kubernetes(target, nodes, 1, instances=instances, name=plan_name, options={"queue": "q"})
    for document in documents(plan):
        assert LABEL.fullmatch(document["metadata"]["name"])
        assert len(document["metadata"]["name"]) <= 63
    started = pods(documents(plan))
    assert len({pod.address for pod in started}) == len(started)
    for pod in started:
        host, subdomain = pod.address.split(".")[:2]
        assert LABEL.fullmatch(host)
        assert LABEL.fullmatch(subdomain)
        assert max(len(host), len(subdomain)) <= 63


def test_budgets_are_the_controllers_own_formulas() -> None:
    assert names.indexed_job(128) == 59
    assert names.jobset({"workers": (1, 128)}) == 43
    assert names.jobset({"node": (1, 128)}, subdomain=10) == 63 - (4 + 1 + 3 + 3) - 11
    assert (names.lws(1, kueue=False), names.lws(1, kueue=True), names.lws(11, kueue=False)) == (51, 39, 50)
    assert (names.trainjob(1000), names.volcano("node", 128), names.mpijob(128)) == (46, 54, 52)


def test_a_name_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave 11 of 63 characters for the plan's, which needs 12 ; use fewer nodes"):
        names.within("x", 11)


def test_long_names_stay_apart() -> None:
    assert names.each("x" * 99 + "1", 1, 50) != names.each("x" * 99 + "2", 1, 50)
    assert names.each("moe_30b.v1", 1, 50) == ("moe-30b-v1",)


@pytest.mark.parametrize("target", CONTROLLERS)
def test_secrets_stay_out(target: str, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cr3t")
    plan = kubernetes(target, secrets={"TOKEN": str(secret)})
    assert not any("s3cr3t" in str(item.text) for item in files(plan).values())
    assert os.fspath(secret) in str(files(plan)["runtime/launch.json"].text)
