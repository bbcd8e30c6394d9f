"""How a person starts the router of prefill and decode, with the servers of this launch."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from compiler.frameworks.router import PORT, Router
from compiler.schedulers import reach
from compiler.schedulers.job import Job, Jobs


def on_slurm(jobs: Jobs) -> str | None:
    """A line of bash, on any machine that reaches the nodes: the job writes where its servers are, role first, URL last."""
    router = jobs.parts[0][1].router
    if router is None or not all(reach.http_ports(job) for _, job in jobs.parts):
        return None
    joined = "" if router.joint == " " else f" | paste -sd{router.joint}"
    return _filled(router, jobs, {role: f"$(sed -n '{_rules(router, role, job)}' {reach.SLURM}{joined})" for role, job in jobs.parts})  # fmt: skip


def _rules(router: Router, role: str, job: Job) -> str:
    """One rule of sed for all instances of a pool, or one for each where their second ports differ."""
    before = [job.share.ports_before(instance) for instance in range(job.instances)]
    same = router.second is None or len(set(before)) == 1 or role != "prefill"
    lines = [(f"{role} ", before[0])] if same else [(f"{role} {index} ", count) for index, count in enumerate(before)]
    return "; ".join(
        rf"s|^{start}.* {job.http_scheme}://\(.*\)|{router.server(role, job.http_scheme, chr(92) + '1', count)}|p"
        for start, count in lines
    )


def on_kubernetes(jobs: Jobs, urls: Mapping[str, Sequence[str]], name: str, namespace: str | None) -> str | None:
    """A pod that runs it: `urls` are those of each pool's servers, by role."""
    first = jobs.parts[0][1]
    router = first.router
    if router is None or not all(urls.values()):
        return None
    servers = {role: router.joint.join(_servers(router, role, job, urls[role])) for role, job in jobs.parts}
    command = _filled(router, jobs, servers)
    where = [] if namespace is None else ["-n", namespace]
    image = first.launch.image or "IMAGE"
    return shlex.join(["kubectl", "run", *where, name, f"--image={image}", f"--port={PORT}", "--command", "--", "bash", "-c", command])  # fmt: skip


def _servers(router: Router, role: str, job: Job, urls: Sequence[str]) -> Iterator[str]:
    """Pods count ports only where they share those of a node."""
    for instance, url in enumerate(urls):
        scheme, _, address = url.partition("://")
        before = job.share.ports_before(instance) if job.site.kubernetes.host_network else 0
        yield router.server(role, scheme, address, before)


def _filled(router: Router, jobs: Jobs, servers: dict[str, str]) -> str:
    counts = {f"{role}s": job.instances for role, job in jobs.parts}
    return router.command.format(**servers, **counts, port=PORT)
