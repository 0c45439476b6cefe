"""Waiting for what other processes do."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")


def once(look: Callable[[], T], seconds: float = 120, every: float = 0.05) -> T:
    """The first result of look() that is true; tenacity's RetryError after so many seconds."""
    again = retry(
        retry=retry_if_result(lambda found: not found),
        wait=wait_fixed(every),
        stop=stop_after_delay(seconds),
    )
    return again(look)()
