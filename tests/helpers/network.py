"""Hosts in network namespaces of their own, on one bridge, so that one can be cut off.

Where it is made, this process must be root in a network and a mount namespace of its own: under
`unshare --map-root-user --mount --net`.
"""

import subprocess
from pathlib import Path


class Network:
    def __init__(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        Path("/run/netns").mkdir()  # where `ip` keeps the names
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "bridge", "type", "bridge")
        _ip("addr", "add", "10.0.0.1/24", "dev", "bridge")
        _ip("link", "set", "bridge", "up")
        self._addresses: dict[str, str] = {}

    def add(self, name: str) -> str:
        """The address of a new host."""
        self._addresses[name] = f"10.0.0.{len(self._addresses) + 2}"
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", name, "master", "bridge", "up")
        inside = [*self.within(name), "ip"]
        own = f"{self._addresses[name]}/24"
        subprocess.run([*inside, "addr", "add", own, "dev", "eth0"], check=True)
        for device in ("eth0", "lo"):
            subprocess.run([*inside, "link", "set", device, "up"], check=True)
        return self._addresses[name]

    def within(self, name: str) -> list[str]:
        """What a command starts with to run on a host."""
        return ["ip", "netns", "exec", name]

    def cut(self, name: str) -> None:
        """From here on nothing reaches a host and it reaches nothing; its processes go on."""
        _ip("link", "set", name, "down")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
