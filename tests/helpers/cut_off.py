"""Labels twice on a cluster whose hosts have networks of their own; one is cut off the second time:

unshare --map-root-user --mount --net --pid --fork --mount-proc \
  python tests/helpers/cut_off.py DIRECTORY
"""

import subprocess
import sys
from pathlib import Path

from hosts import Hosts, hosts
from labeling import Allowed, command
from network import Network
from object_store import plain_environment
from processes import ROOT, amid

# How soon Ray takes a host for dead, and gives up what it asked of it: of the tests, not its own.
IMPATIENT = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_grpc_client_keepalive_time_ms": "2000",
    "RAY_grpc_client_keepalive_timeout_ms": "3000",
}


def labeling(cluster: Hosts, network: Network, root: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *network.within("head"),
            *command(root, "--set", "engine.count=2", "--set", "engine.gpus=1"),
        ],
        cwd=ROOT,
        env={**cluster.environment, "PYTHONPATH": str(ROOT)},
    )


def main(directory: Path) -> int:
    network = Network()
    allowed = Allowed(directory)
    environment = {**plain_environment(), **IMPATIENT, **allowed.environment}
    with hosts(environment, network) as cluster:
        for name in ("one", "two"):
            cluster.add(name, cpus=4, gpus=1)
        if labeling(cluster, network, directory / "quiet").wait(300):
            return 1
        allowed.samples(24)
        disturbed = labeling(cluster, network, directory / "disturbed")
        amid(disturbed, lambda: list(directory.glob("disturbed/label-*/*.parquet")))
        network.cut("two")
        allowed.all()
        cluster.add("three", cpus=4, gpus=1)
        return disturbed.wait(300)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
