"""What NCCL and gloo must know of the network, from the cluster and the site."""

from __future__ import annotations

from compiler.specs.config import Config


def environment(config: Config) -> dict[str, str]:
    """Variables that lie below all others. Device lists start with `=`: without it NCCL matches names by prefix."""
    site, found = config.site, {}
    if site.nics:
        found["NCCL_IB_HCA"] = "=" + ",".join(dict.fromkeys(site.nics))
        if config.hardware.fabric.kind == "rail_optimized":
            found["NCCL_CROSS_NIC"] = "0"  # each card talks to its own rail
    if site.interface:
        found |= {"NCCL_SOCKET_IFNAME": f"={site.interface}", "GLOO_SOCKET_IFNAME": site.interface}
    return found
