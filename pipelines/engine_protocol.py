"""What label and the service ask of an engine; engine.py is the real one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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
    """One P(True): c in [0, 1], tokens of the scored sequence, and how many came from the cache."""

    p_true: float
    tokens: int
    cached_tokens: int


class Engine(Protocol):
    """Samples and scores. Both are one request; cancelling the awaiting task aborts it."""

    async def sample(self, prompt_ids: Sequence[int], key: int) -> Generated:
        """A response to prompt_ids whose draws depend on (key, position) alone."""
        ...

    async def score(self, prompt_ids: Sequence[int], response_ids: Sequence[int]) -> Scored:
        """P(True) of a response, asked as a turn of its own after it."""
        ...

    def shutdown(self) -> None:
        """Ends the engine; it takes no more requests."""
        ...
