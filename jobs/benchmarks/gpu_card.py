"""What the card reaches, and EDT's two passes over the logits against that."""

import statistics
from collections.abc import Callable
from typing import Any

from jobs.benchmarks.measurement import Measurement, Reach

# TB/s of memory and TFLOP/s of dense bf16 products, of NVIDIA's datasheets (SXM).
DATASHEET = {"H100 80GB HBM3": (3.35, 989.0), "H200": (4.8, 989.0)}


def datasheet() -> tuple[float, float]:
    import torch

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no card"
    for name, figures in DATASHEET.items():
        if name in card:
            return figures
    raise ValueError(f"gpu: no datasheet's figures for {card}, only for {', '.join(DATASHEET)}")


def milliseconds(function: Callable[[], Any], times: int = 20) -> float:
    """The median of so many runs, by the device's own clock, after three to warm up."""
    import torch

    spans = []
    for i in range(3 + times):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        end.synchronize()
        if i >= 3:
            spans.append(start.elapsed_time(end))
    return statistics.median(spans)


def card(quick: bool) -> list[Measurement]:
    import torch

    bandwidth, product = datasheet()
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    copied = copy_rate(lambda: target.copy_(source), source)
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    multiplied = 2 * 8192**3 / milliseconds(lambda: a @ b) / 1e9
    made = [
        Measurement.of("gpu.copy", "TB/s", [(copied, bandwidth)], Reach("at least", 0.8)),
        Measurement.of("gpu.product", "TFLOP/s", [(multiplied, product)], Reach("at least", 0.7)),
    ]
    for vocab in (49_152, 128_256, 151_936):
        made += _edt(16 if quick else 256, vocab, copied)
    return made


def copy_rate(copy: Callable[[], Any], tensor: Any) -> float:
    """TB/s read and written."""
    return 2 * tensor.nbytes / milliseconds(copy) / 1e9


def _edt(rows: int, vocab: int, copied: float) -> list[Measurement]:
    """The passes are timed in a CUDA graph, as a queue of work: what the host adds is in decode's.

    `peaked` has one likely token a row, as language models mostly have: then EDT's temperature is
    low, and most of a row is read once.
    """
    import torch

    from pipelines.engine.edt_kernels import rewrite
    from pipelines.engine.edt_rewrite import Change, Requests

    every = torch.arange(rows, device="cuda")
    settings = torch.tensor([0.8, 0.8, 1.0, 0.0, 1.0], device="cuda").expand(rows, -1).contiguous()
    changes = torch.full((rows,), int(Change.DRAW), dtype=torch.int32)
    wanted = Requests(changes.cuda(), every * 7919, settings)

    def seconds(logits: torch.Tensor) -> float:
        """Of one rewrite: so many in a graph, less what putting the drawn logits back takes."""
        first = logits.clone()
        rewrite(first, every, every, wanted, changes.numpy())
        token = first.argmax(-1)
        drawn = logits[every, token]

        def put_back() -> None:
            logits.index_put_((every, token), drawn)

        def both() -> None:
            rewrite(logits, every, every, wanted, changes.numpy())
            put_back()

        return (milliseconds(_graph(both)) - milliseconds(_graph(put_back))) / 1e4

    flat = torch.randn(rows, vocab, device="cuda") * 4
    peaked = torch.randn(rows, vocab, device="cuda") * 2.5
    peaked[:, 7] = 22.0  # p = 0.999
    took, usual = seconds(flat), seconds(peaked)
    eager = milliseconds(lambda: torch.multinomial((flat / 0.8).softmax(-1), 1)) / 1e3
    name, both_reads = f"gpu.edt_{vocab // 1000}k", 2 * flat.nbytes / 1e12
    return [
        Measurement.of(name, "TB/s", [(both_reads / took, copied)], Reach("at least", 0.7)),
        Measurement.of(
            f"{name}_peaked", "draws/s", [(rows / usual, rows / took)], Reach("at least", 1)
        ),
        Measurement.of(
            f"{name}_multinomial", "draws/s", [(rows / took, rows / eager)], Reach("at least", 3)
        ),
    ]


def _graph(function: Callable[[], None]) -> Callable[[], None]:
    """Ten calls as one replay."""
    import torch

    function()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(10):
            function()
    return graph.replay
