"""What label and the service ask of an engine; vllm_engine.py is the real one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.config import DrawConfig
from pipelines.method.token_confidences import TokenFacts
from pipelines.running.progress import Count


@dataclass(frozen=True)
class Drawing:
    """How a response is drawn.

    temperature: T0 of EDT, or the fixed one; 0 is greedy: the likeliest token, whatever else is
    said here. top_p: draws from the likeliest tokens that have this mass together, at a fixed
    temperature. stop: the response ends before the first of these that it has; of several, before
    the one that was complete first. tells: of each token its facts, too. ValueError where a value
    is none that can be drawn with.
    """

    max_tokens: int
    temperature: float
    method: Literal["edt", "fixed"]
    edt_base: float
    edt_theta: float
    compat: Literal["none", "paper_code"]
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    tells: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens: {self.max_tokens} is less than 1")
        if not 0 <= self.temperature <= 1000:  # nan is not, either
            raise ValueError(f"temperature: {self.temperature} is not in [0, 1000]")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: {self.top_p} is not in (0, 1]")
        if self.top_p < 1 and self.method == "edt" and self.temperature:
            raise ValueError("top_p: EDT draws from all tokens; set method to fixed, or top_p to 1")
        if not all(self.stop):
            raise ValueError("stop: an empty text would end every response before it begins")

    @classmethod
    def of(cls, config: DrawConfig) -> "Drawing":
        return cls(**{name: getattr(config, name) for name in DrawConfig.model_fields})


@dataclass
class Counters:
    """What a query cost so far, in tokens: what was cancelled, too.

    `prompt` and `scored` count what the model computed. `mass` is the sum over scored responses.
    """

    generated_tokens: int = 0
    prompt_tokens: int = 0
    scored_tokens: int = 0
    cached_tokens: int = 0
    scored_responses: int = 0
    mass: float = 0.0


@dataclass(frozen=True)
class Generated:
    """One sampled response. token_ids are without the end token; num_tokens counts it. facts: of
    token_ids; None where the drawing does not tell them, and where there is no token.

    Of a response that a stop string ended, num_tokens counts up to the token that completed it,
    and token_ids are the fewest whose text has all of `text`: the token in which the stop string
    begins is among them where it begins with text that was kept.
    """

    token_ids: list[int]
    text: str
    num_tokens: int
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    facts: TokenFacts | None = None


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
        """Gives the blocks back without a score. After a score it does nothing."""
        ...


class Engine(Protocol):
    """Draws samples and scores them; cancelling the awaiting task aborts the request.

    count: of responses that ended, and of tokens as they come.
    """

    count: Count

    async def draw(
        self,
        prompt_ids: Sequence[int],
        key: int,
        drawing: Drawing,
        spent: Counters,
        heard: Callable[[str], None] | None = None,
        live: bool = False,
    ) -> Draw:
        """A response to prompt_ids whose random numbers depend on (key, position) alone.

        spent: counts what the draw and its score cost. heard: is told the response's text piece by
        piece; the pieces together are its text. live: both as it comes, which costs the engine's
        process a little for each token; else the response's tokens are counted at its end, and not
        at all where it is cancelled. What is heard or may be stopped is live. Tokens of a step that
        is under way when a request is aborted are never seen.
        """
        ...

    def shutdown(self) -> None:
        """Ends the engine; it takes no more requests."""
        ...
