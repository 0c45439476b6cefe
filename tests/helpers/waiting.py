"""Waiting for what other processes do."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, retry, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")


def once(look: Callable[[], T], seconds: float = 300, every: float = 0.05) -> T:
    """The first result of look() that is true; fails after so many seconds.

    seconds: of a machine that does much else. Whoever may end before it is true says so in look().
    """

    def fail(state: RetryCallState) -> T:
        assert state.outcome is not None
        last = state.outcome.result()
        raise AssertionError(f"{state.attempt_number} looks in {seconds} s, the last: {last!r}")

    again = retry(
        retry=retry_if_result(lambda found: not found),
        wait=wait_fixed(every),
        stop=stop_after_delay(seconds),
        retry_error_callback=fail,
    )
    return again(look)()
