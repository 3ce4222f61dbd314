"""What every test shares: a ROS domain of this run's own, so that nothing here talks to a robot next door."""

import os
import random
import socket
from typing import Any

import pytest

LAST_SAFE_DOMAIN = 101  # above it the ports of a domain collide with Linux's ephemeral ones


def discovery_port(domain: int) -> int:
    """UDP port on which the participants of a domain find each other (DDSI-RTPS 9.6.1)."""
    return 7400 + 250 * domain


def free_domain() -> int:
    """A domain in which nobody listens now."""
    domains = random.SystemRandom().sample(range(1, LAST_SAFE_DOMAIN + 1), LAST_SAFE_DOMAIN)
    for domain in domains:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", discovery_port(domain)))
            except OSError:
                continue
            return domain
    raise RuntimeError(f"all ROS domains from 1 to {LAST_SAFE_DOMAIN} are in use on this machine")


# Set while pytest starts: before rclpy is first imported, here or in the node processes that tests start.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# These two as the package has them; a plugin may load torch or numpy before it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("INSTASCENE_TEST_DOMAIN", str(free_domain()))
os.environ["ROS_DOMAIN_ID"] = os.environ["INSTASCENE_TEST_DOMAIN"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers: a file stays on one of them, since its fixtures are costly, and so do all tests of nodes,
    which share one ROS domain."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.split("::")[0]
            return "nodes" if "nodes/" in path else path

    return ByFile(config, log)
