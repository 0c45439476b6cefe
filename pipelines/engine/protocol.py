"""What label and the service ask of an engine; vllm_engine.py is the real one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipelines.running.progress import Count


@dataclass(frozen=True)
class Generated:
    """One sampled response. token_ids are without the end token; num_tokens counts it."""

    token_ids: list[int]
    text: str
    num_tokens: int
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True)
class Scored:
    """One P(True): c and the mass of Yes and No together, both in [0, 1] (method/prompts.py).

    tokens: of the scored sequence, of which cached_tokens were not computed.
    """

    p_true: float
    mass: float
    tokens: int
    cached_tokens: int


class Draw(Protocol):
    """A response whose KV blocks the engine still holds. Ends with one of `score`, `release`."""

    generated: Generated

    async def score(self) -> Scored:
        """P(True), asked as a turn after the response, on the blocks that are there."""
        ...

    def release(self) -> None:
        """Gives the blocks back without a score."""
        ...


class Engine(Protocol):
    """Draws samples and scores them; cancelling the awaiting task aborts the request.

    count: of responses that ended, and of tokens as they come.
    """

    count: Count

    async def draw(self, prompt_ids: Sequence[int], key: int) -> Draw:
        """A response to prompt_ids whose random numbers depend on (key, position) alone."""
        ...

    def shutdown(self) -> None:
        """Ends the engine; it takes no more requests."""
        ...
