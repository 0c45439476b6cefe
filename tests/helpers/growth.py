"""How the time of a function grows with its input: a number that no busy machine changes much."""

import time
from collections.abc import Callable


def growth(work: Callable[[int], object], size: int, times: int) -> float:
    """Seconds of CPU for so many times the size, over those for the size: `times` if it is linear,
    times² if it is quadratic. The least of some tries each."""

    def seconds(size: int) -> float:
        began = time.process_time()
        work(size)
        return time.process_time() - began

    small, large = (min(seconds(one) for _ in range(3)) for one in (size, size * times))
    return large / small
