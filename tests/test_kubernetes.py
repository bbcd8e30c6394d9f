"""Manifests: as data, against Kubernetes' own schemas, and what a pod makes of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes_validate.utils import latest_version

from compiler.errors import ConfigError
from compiler.render.artifacts import to_json
from compiler.render.yaml import emit
from compiler.schedulers.kubernetes import names
from compiler.specs.site import KubernetesSite, Site
from tests.plans import HOSTILE, SmallPlan, files, plan

HOSTS = "host,leaf,pod,rack\nn1,l,p,r\nn2,l,p,r\nn3,l,p,r\n"
MINOR = int(latest_version().split(".")[1])
VERSIONS = [f"1.{MINOR - back}" for back in range(3)]
FULL = Site(
    name="full",
    environment={"NCCL_IB_HCA": "=mlx5_0,mlx5_1"},
    mounts=["/data:/data:ro"],
    kubernetes=KubernetesSite(
        rdma_resource="rdma/ib",
        rdma_per_node=8,
        node_selector={"pool": "true", "cloud.google.com/gke-accelerator": "h100"},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        capabilities=["IPC_LOCK"],
    ),
)
OPTIONS = {
    "namespace": "team-a",
    "queue": "gpus",
    "priority_class": "high",
    "service_account": "runner",
    "image_pull_secrets": ["registry"],
    "ttl_s": 3600,
}


def kubernetes(*args: Any, **given: Any) -> SmallPlan:
    return plan(*args, scheduler=("kubernetes_job",), **given)


PLANS = {
    "plain": kubernetes(),
    "full": kubernetes(3, 8, site=FULL, options=OPTIONS, hosts=HOSTS, pin=True, mounts=["/a b:/c d"],
                       environment=HOSTILE, command=["a"], secrets={"TOKEN": {"secret": "hf", "key": "token"}}),
    "instances": kubernetes(4, 2, instances=2, unit="node", image="registry/i:1"),
    "shared": kubernetes(1, 8, instances=2),
}  # fmt: skip


def documents(made: SmallPlan) -> list[dict[str, Any]]:
    """Every object that the folder holds, read by a real parser."""
    texts = [str(item.text) for path, item in files(made).items() if path.startswith("kubernetes/")]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def of_kind(made: SmallPlan, kind: str) -> list[dict[str, Any]]:
    return [document for document in documents(made) if document["kind"] == kind]


def pod(made: SmallPlan, instance: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = of_kind(made, "Job")[instance]["spec"]["template"]["spec"]
    return found


def expand(value: str, known: dict[str, str]) -> str:
    """What the kubelet makes of a value: $(NAME) of an earlier variable, and $$ for $."""
    return re.sub(r"\$(\$|\(([^)]*)\))", lambda found: "$" if found[1] == "$" else known.get(found[2], found[0]), value)


def variables(made: SmallPlan, index: int = 0, instance: int = 0) -> dict[str, str]:
    """The environment of a pod of a completion index."""
    known: dict[str, str] = {}
    for entry in pod(made, instance)["containers"][0]["env"]:
        if "value" in entry:
            known[entry["name"]] = expand(entry["value"], known)
        elif entry["name"] == "JOB_COMPLETION_INDEX":
            known[entry["name"]] = str(index)
    return known


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", PLANS)
def test_every_object_fits_the_schema_of_the_last_versions(name: str, version: str) -> None:
    found = documents(PLANS[name])
    assert {document["kind"] for document in found} == {"ConfigMap", "Service", "Job"}
    for document in found:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", PLANS)
def test_manifests_pass_yamllint(name: str, tmp_path: Path) -> None:
    for path, item in files(PLANS[name]).items():
        if path.startswith("kubernetes/"):
            (tmp_path / Path(path).name).write_text(str(item.text), encoding="utf-8")
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", "extends: default", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stdout) == (0, "")


def test_an_indexed_job_is_a_gang_that_is_not_retried() -> None:
    spec = of_kind(kubernetes(4, 8), "Job")[0]["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 86400)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    fail, ignore = spec["podFailurePolicy"]["rules"]
    container = spec["template"]["spec"]["containers"][0]
    assert fail["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [64, 65, 66]}
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert container["resources"]["limits"] == container["resources"]["requests"] == {"nvidia.com/gpu": "8"}


def test_rank_0_is_found_by_name() -> None:
    made = kubernetes(4, 2, instances=2)
    for instance, (job, service) in enumerate(zip(of_kind(made, "Job"), of_kind(made, "Service"), strict=True)):
        name = job["metadata"]["name"]
        assert service["metadata"]["name"] == job["spec"]["template"]["spec"]["subdomain"] == name
        assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
        assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
        found = variables(made, 1, instance)
        assert found["MASTER_ADDR"] == f"{name}-0.{name}"
        assert (found["NODE_RANK"], found["RANKPLAN_INSTANCE"]) == ("1", str(instance))


def test_the_index_is_declared_before_it_is_used() -> None:
    order = [entry["name"] for entry in pod(kubernetes())["containers"][0]["env"]]
    assert order.index("JOB_COMPLETION_INDEX") < order.index("NODE_RANK")


def test_what_a_pod_starts_is_the_plan(tmp_path: Path) -> None:
    """Unpack the ConfigMap as the kubelet would and run each pod's command here."""
    made = kubernetes(2, 2, environment=HOSTILE, python=sys.executable)
    shared = of_kind(made, "ConfigMap")[0]
    assert shared["immutable"] is True
    volume = pod(made)["volumes"][0]["configMap"]
    assert volume["name"] == shared["metadata"]["name"]
    assert sorted(item["key"] for item in volume["items"]) == sorted(shared["data"])
    for item in volume["items"]:
        path, text = tmp_path / item["path"], shared["data"][item["key"]]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        assert text == (files(made)[item["path"]].text if path.parent.name == "runtime" else to_json(made.to_dict()))
    lines = []
    for index in range(2):
        environment = {**variables(made, index), "MASTER_ADDR": "127.0.0.1", "NODE_NAME": f"n{index}"}
        assert {name: environment[name] for name in HOSTILE} == HOSTILE
        command = [expand(word, {}) for word in pod(made)["containers"][0]["command"]]
        assert command[-1] == f"{environment['RANKPLAN_PLAN']}/runtime/spawn.py"
        command[-1] = str(tmp_path / "runtime/spawn.py")
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines += done.stdout.splitlines()
    assert sorted(lines) == [
        f"rankplan: rank {rank} on n{rank // 2} (unbound): slot {rank // 2}, GPU unchecked: as planned"
        for rank in range(4)
    ]


def test_site_and_options_reach_the_pod() -> None:
    spec = pod(PLANS["full"])
    container = spec["containers"][0]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "8", "rdma/ib": "8"}
    assert container["securityContext"] == {"capabilities": {"add": ["IPC_LOCK"]}}
    assert spec["nodeSelector"]["pool"] == "true"
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}} in container["env"]
    mounts = {mount["name"]: (mount["mountPath"], mount.get("readOnly")) for mount in container["volumeMounts"]}
    assert (mounts["mount-0"], mounts["mount-1"]) == (("/data", True), ("/c d", False))
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(64 * 2**30)}} in spec["volumes"]
    job = of_kind(PLANS["full"], "Job")[0]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert (job["metadata"]["namespace"], job["spec"]["ttlSecondsAfterFinished"]) == ("team-a", 3600)


def test_a_pinned_plan_requires_the_set_of_its_hosts() -> None:
    """Which index runs on which of them is the scheduler's choice: the check order-unproven says so."""
    needed = pod(PLANS["full"])["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = needed["nodeSelectorTerms"][0]["matchExpressions"]
    assert term == {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1", "n2", "n3"]}


def test_instances_that_share_a_node_ask_for_their_own_gpus() -> None:
    jobs = of_kind(PLANS["shared"], "Job")
    assert [job["spec"]["completions"] for job in jobs] == [1, 1]
    assert pod(PLANS["shared"])["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"options": {"namespace": "Team_A"}}, "scheduler.kubernetes_job.namespace=Team_A is not a Kubernetes name ; "),
        ({"options": {"queue": "x" * 64}}, "scheduler.kubernetes_job.queue=x+ is not a Kubernetes name ; write up to 63"),
        ({"options": {"image_pull_secrets": ["-"]}}, "scheduler.kubernetes_job.image_pull_secrets=- is not"),
        ({"environment": {"NODE_NAME": "x"}}, "launch.environment.NODE_NAME is set on Kubernetes by the pod"),
        ({"secrets": {"T": {"secret": "A b", "key": "k"}}}, "launch.secrets.T names Secret A b, key k, which cannot"),
        ({"mounts": ["/a:/dev/shm"]}, "mount target /dev/shm is taken ; write another target"),
        ({"mounts": ["/a:/x", "/b:/x/"]}, "mount target /x/ is taken"),
        ({"mounts": ["/a/../b:/x"]}, "mount /a/../b:/x has ':' in its target or '..' in its source"),
        ({"environment": {"BIG": "x" * 2**20}}, r"the pods' ConfigMap would hold \d+ bytes, and Kubernetes takes 1048576"),
    ],
)  # fmt: skip
def test_what_kubernetes_cannot_carry_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        files(kubernetes(**given))


@pytest.mark.parametrize("plan_name", ["a", "A.b_c", "9lives", "x" * 100, "a." * 50, "x" * 61 + "--y", "-_-x"])
@pytest.mark.parametrize(("instances", "nodes"), [(1, 1), (1, 128), (100, 20000)])
def test_names_fit_their_budget(plan_name: str, instances: int, nodes: int) -> None:
    found = names.jobs(plan_name, instances, nodes)
    assert len(set(found)) == instances
    for name in (*found, names.config_map(plan_name, "f" * 64)):
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name)
    assert max(len(f"{name}-{nodes - 1}") for name in found) <= 63
    assert len(names.config_map(plan_name, "f" * 64)) <= 63
    assert found == names.jobs(plan_name, instances, nodes)


def test_long_names_stay_apart() -> None:
    assert names.jobs("x" * 99 + "1", 1, 2) != names.jobs("x" * 99 + "2", 1, 2)
    assert names.jobs("moe_30b.v1", 1, 2) == ("moe-30b-v1",)


TEXT = st.text(st.characters(codec="utf-8"))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from([*HOSTILE.values(), "a\nb\n", "a\n\n b\n", "a \nb\n"]),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(TEXT, VALUE, min_size=1), min_size=1, max_size=3))
def test_a_real_parser_reads_everything_back(written: list[dict[str, Any]]) -> None:
    assert list(yaml.safe_load_all(emit(written))) == written


def test_key_order_is_kept_and_strange_types_are_refused() -> None:
    assert emit([{"b": 1, "a": {"no": True, "x/y.z": ["c"]}}]).splitlines()[1:] == [
        "---", "b: 1", "a:", '  "no": true', "  x/y.z:", '    - "c"'
    ]  # fmt: skip
    with pytest.raises(TypeError, match="set has no place in YAML"):
        emit([{"a": {1}}])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_a_number_to_an_old_parser_too(number: float) -> None:
    assert yaml.safe_load(emit([{"a": number}])) == {"a": number}


def test_secrets_stay_out(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cr3t")
    made = kubernetes(secrets={"TOKEN": str(secret)})
    assert not any("s3cr3t" in str(item.text) for item in files(made).values())
    assert os.fspath(secret) in str(files(made)["runtime/launch.json"].text)
