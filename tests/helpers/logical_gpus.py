"""vLLM's CPU platform, whose Ray workers take a GPU each: one that Ray only counts.

So a model in parts is a placement group of GPUs here too, as on a machine that has them; vLLM finds
the platform through a package's metadata, as it finds the platforms that it does not bring.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from processes import ROOT
from vllm.platforms.cpu import CpuPlatform

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class LogicalGpus(CpuPlatform):
    ray_device_key = "GPU"

    @classmethod
    def check_and_update_config(cls, vllm_config: "VllmConfig") -> None:
        import ray

        super().check_and_update_config(vllm_config)
        # On other platforms vLLM does this itself where it decides to spawn the engine's process.
        os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address


def platform() -> str:
    return f"{__name__}.{LogicalGpus.__name__}"


def environment(directory: Path) -> dict[str, str]:
    """For the processes of a cluster of such hosts; writes the metadata into the directory."""
    metadata = directory / "logical_gpus-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: logical-gpus\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        f"[vllm.platform_plugins]\nlogical_gpus = {__name__}:{platform.__name__}\n"
    )
    return {"PYTHONPATH": f"{directory}:{ROOT / 'tests/helpers'}:{ROOT}"}
