"""What Kubernetes cannot carry is refused, and secrets stay out of manifests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.specs.site import KubernetesSite, Site
from tests.controllers import CONTROLLERS
from tests.kubernetes_plans import kubernetes
from tests.plans import files


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
        ("jobset", {"secrets": {"T": {"secret": "A b", "key": "k"}}}, "launch.secrets.T names a Secret or a key that cannot"),
        ("jobset", {"mounts": ["/a:/dev/shm"]}, "mount target /dev/shm is taken ; write another target"),
        ("jobset", {"mounts": ["/a:/x", "/b:/x/"]}, "mount target /x/ is taken"),
        ("jobset", {"mounts": ["/a/../b:/x"]}, "mount /a/../b:/x has ':' in its target or '..' in its source"),
        ("jobset", {"environment": {"BIG": "x" * 2**20}}, r"runtime/launch.json would be \d+ bytes of a ConfigMap, and Kubernetes takes 1048576"),
        ("jobset", {"site": {"node_selector": {"a b": ""}}}, "site.kubernetes.node_selector has 'a b', which is no name"),
        ("jobset", {"site": {"node_selector": {"a": "b c"}}}, "site.kubernetes.node_selector.a=b c is no value of a label"),
        ("jobset", {"site": {"pod_annotations": {"": "1"}}}, "site.kubernetes.pod_annotations has '', which is no name"),
        ("jobset", {"site": {"rdma_resource": "rdma ib"}}, "site.kubernetes.rdma_resource has 'rdma ib'"),
    ],
)  # fmt: skip
def test_what_kubernetes_cannot_carry_is_refused(target: str, given: dict[str, Any], message: str) -> None:
    if "site" in given:
        given = {**given, "site": Site(name="bad", kubernetes=KubernetesSite(**given["site"]))}
    with pytest.raises(ConfigError, match=message):
        files(kubernetes(target, **given))


@pytest.mark.parametrize("target", CONTROLLERS)
def test_secrets_stay_out(target: str, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cr3t")
    plan = kubernetes(target, secrets={"TOKEN": str(secret)})
    assert not any("s3cr3t" in str(item.text) for item in files(plan).values())
    assert os.fspath(secret) in str(files(plan)["runtime/launch.json"].text)
