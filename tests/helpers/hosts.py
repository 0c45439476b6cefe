"""A Ray cluster of several hosts, each a raylet of its own with all of its processes."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from network import Network
from ports import free_port
from processes import kill_with_children
from waiting import once

RAY = [str(Path(sys.executable).parent / "ray")]


class Loopback:
    """What a Network is, where all hosts share this machine's own."""

    def add(self, name: str) -> str:
        return "127.0.0.1"

    def within(self, name: str) -> list[str]:
        return []


LOOPBACK = Loopback()


class Hosts:
    """A head without CPUs, and workers that come and go. `address` is of the jobs API."""

    def __init__(self, environment: dict[str, str], disks: Path, network: Network | Loopback):
        self._disks, self._network = disks, network
        self._gcs, dashboard = free_port(), free_port()
        ip = network.add("head")
        self.address = f"http://{ip}:{dashboard}"
        # Processes of all hosts are on this machine, and any of them may start a worker's.
        self.environment = {
            # A killed host refuses each look; a busy one has its time to answer.
            "RAY_health_check_period_ms": "1000",
            "RAY_metrics_report_interval_ms": "2000",
            "RAY_prestart_worker_first_driver": "0",
            **environment,
            # `python` is the one with the packages, as in a node's image.
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "RAY_ADDRESS": f"{ip}:{self._gcs}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "of-the-tests",
            "RAY_API_SERVER_ADDRESS": self.address,
        }
        self._hosts: dict[str, subprocess.Popen[bytes]] = {}
        self._metrics: dict[str, int] = {}  # ports
        self._head = ip, dashboard

    def begin(self) -> None:
        """Starts the head."""
        ip, dashboard = self._head
        self._start(
            "head", ip, "--head", f"--port={self._gcs}", "--num-cpus=0",
            f"--dashboard-host={ip}", f"--dashboard-port={dashboard}",
            f"--ray-client-server-port={free_port()}", "--disable-usage-stats",
        )  # fmt: skip
        once(lambda: self.known == {"head"})

    def _state(self, kind: str) -> list[dict[str, Any]]:
        """What the head's state API tells of all nodes, actors or placement_groups."""
        headers = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        url = f"{self.address}/api/v0/{kind}?detail=1"
        try:
            answer = requests.get(url, headers=headers, timeout=60)
        except requests.RequestException:  # not up yet, or busy
            return []
        return answer.json()["data"]["result"]["result"] if answer.ok else []

    def _names(self) -> dict[str, str]:
        """Of all nodes that the head has seen, by id."""
        return {node["node_id"]: node["node_name"] for node in self._state("nodes")}

    @property
    def known(self) -> set[str]:
        """Names of the hosts that the head takes for alive; it misses a killed one in seconds."""
        return {node["node_name"] for node in self._state("nodes") if node["state"] == "ALIVE"}

    @property
    def groups(self) -> list[list[str]]:
        """Hosts of each placement group's bundles, in their order; none while it waits."""
        names = self._names()
        return [
            [names[bundle["node_id"]] for bundle in group["bundles"] if bundle["node_id"]]
            for group in self._state("placement_groups")
            if group["state"] != "REMOVED"
        ]

    def actors(self, kind: str) -> list[str]:
        """Hosts of the living actors whose class is named so, in the order of the names."""
        names = self._names()
        return sorted(
            names[actor["node_id"]]
            for actor in self._state("actors")
            if kind in actor["class_name"] and actor["state"] == "ALIVE"
        )

    def _start(self, name: str, ip: str, *arguments: str) -> None:
        environment = {k: v for k, v in self.environment.items() if k != "RAY_ADDRESS"}
        disk = self._disks / name  # its own: a host deletes the packages that it no longer needs
        self._hosts[name] = subprocess.Popen(
            # Ports are any that are free: those of its own are one and the same for all hosts.
            [*self._network.within(name), *RAY, "start", "--block", f"--node-name={name}",
             f"--node-ip-address={ip}", f"--temp-dir={disk}", "--dashboard-agent-listen-port=0",
             "--min-worker-port=0", "--max-worker-port=0", *arguments],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def add(self, name: str, cpus: int, gpus: int = 0) -> None:
        self._metrics[name] = free_port()
        self._start(
            name, self._network.add(name), f"--address={self.environment['RAY_ADDRESS']}",
            f"--num-cpus={cpus}", f"--num-gpus={gpus}",
            f"--metrics-export-port={self._metrics[name]}",
        )  # fmt: skip

    @property
    def workers(self) -> list[str]:
        """Names of the hosts that are alive, but for the head."""
        return [name for name in self._hosts if name != "head"]

    def metrics(self, name: str) -> str:
        """What Prometheus would read of a host; nothing where it is not up yet."""
        try:
            return requests.get(f"http://127.0.0.1:{self._metrics[name]}", timeout=60).text
        except requests.RequestException:
            return ""

    def kill(self, name: str) -> None:
        """All of a host's processes at once, as where its power is cut."""
        kill_with_children(self._hosts.pop(name))

    def end(self) -> None:
        for name in list(self._hosts)[::-1]:
            self.kill(name)


@contextmanager
def hosts(environment: dict[str, str], network: Network | Loopback = LOOPBACK) -> Iterator[Hosts]:
    # Its sockets' paths may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as disks:
        made = Hosts(environment, Path(disks), network)
        try:
            made.begin()
            yield made
        finally:
            made.end()
