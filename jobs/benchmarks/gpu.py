"""All that only a GPU can show: what matters most comes first, and all should take eight minutes.

    python -m jobs.bench gpu --json FILE

Random models of published shapes (random_model.py), each part in a process of its own: one that
fails is told, and the others run. `--quick` is for trying it out: small, on a CPU too.
"""

import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from jobs.benchmarks import gpu_card, gpu_engine, gpu_service, gpu_train, random_model
from jobs.benchmarks.measurement import Measurement, in_subprocess


def run(quick: bool) -> Iterator[Measurement]:
    import torch

    cuda = torch.cuda.is_available()  # takes no memory of the card
    large, small = ("1.5b", "0.5b") if cuda and not quick else ("tiny", "tiny")
    failed = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        model = in_subprocess(random_model.make, large, root)
        parts: dict[str, Callable[[], Iterable[Measurement]]] = {
            "engine": partial(gpu_engine.speed_and_numbers, model, quick),
            "card": partial(in_subprocess, gpu_card.card, quick),
            "step": partial(in_subprocess, gpu_train.step, large, root, quick),
            "stage": partial(in_subprocess, gpu_train.stage, model, quick),
            "service": partial(in_subprocess, gpu_service.figures, model, quick),
            "small step": partial(in_subprocess, gpu_train.step, small, root, quick),
        }
        if not cuda:
            del parts["card"], parts["small step"]
        for name, part in parts.items():
            try:
                yield from part()
            except Exception:  # of any kind: time on a card is short, and the others go on
                traceback.print_exc()
                failed.append(name)
    if failed:
        raise RuntimeError(f"gpu: these parts failed, for the reasons above: {', '.join(failed)}")
