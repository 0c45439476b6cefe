"""An engine without a model, where only the calls matter; test_vllm_engine.py has the real one."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from pipelines.engine.protocol import Counters, Drawing, Generated, Scored
from pipelines.method.token_confidences import TokenFacts
from pipelines.running.progress import Count

PROMPT_TURN = 5  # tokens of the made-up confidence turn
DRAWING = Drawing(64, 0.8, "edt", 0.8, 1.0, "none")


class FakeEngine:
    """Answers by key: text `answers[key % len(answers)]`, confidence from `p_true`.

    A letter is a token. delays: draws take different times, a share of the letters each turn of the
    event loop. mass: of Yes and No together, by text; 1, by default.
    """

    def __init__(
        self,
        answers: Sequence[str],
        p_true: dict[str, float],
        delays: bool = False,
        mass: dict[str, float] | None = None,
    ):
        self.answers, self.p_true, self.delays = answers, p_true, delays
        self.mass = mass or {}
        self.count = Count()
        self.drawn: list[int] = []  # keys, in the order of the calls
        self.drawings: list[Drawing] = []
        self.scored: list[str] = []
        self.scoring = 0  # under way
        self.pause: asyncio.Event | None = None  # that scores wait for
        self.released = 0
        self.cancelled = 0
        self.running = 0
        self.most_running = 0

    async def draw(
        self,
        prompt_ids: Sequence[int],
        key: int,
        drawing: Drawing,
        spent: Counters,
        heard: Callable[[str], None] | None = None,
        live: bool = False,
    ) -> "FakeDraw":
        self.drawn.append(key)
        self.drawings.append(drawing)
        text = self.answers[key % len(self.answers)]
        turns = key % 7 if self.delays else 1  # later keys may end first
        spent.prompt_tokens += len(prompt_ids) - 1
        spent.cached_tokens += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for turn in range(turns):
                piece = text[turn * len(text) // turns : (turn + 1) * len(text) // turns]
                await asyncio.sleep(0)
                spent.generated_tokens += len(piece)
                if heard:
                    heard(piece)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if not turns:
            spent.generated_tokens += len(text)
            if heard:
                heard(text)
        spent.generated_tokens += 1  # the end token
        ids = [ord(c) for c in text]
        facts = facts_of(text) if drawing.tells and text else None
        generated = Generated(ids, text, len(ids) + 1, "stop", len(prompt_ids), 1, facts)
        return FakeDraw(self, spent, generated)

    def shutdown(self) -> None:
        pass


def facts_of(text: str) -> TokenFacts:
    """A letter is the likelier, the earlier in the alphabet."""
    places = np.array([ord(letter) % 32 for letter in text], float)
    return TokenFacts(-places / 16, -places / 8, places / 32)


class FakeDraw:
    def __init__(self, engine: FakeEngine, spent: Counters, generated: Generated):
        self.engine, self.spent, self.generated = engine, spent, generated
        self.ended = False

    async def score(self) -> Scored:
        engine, text = self.engine, self.generated.text
        self.ended = True
        engine.scored.append(text)
        total = self.generated.prompt_tokens + len(self.generated.token_ids) + PROMPT_TURN
        self.spent.scored_tokens += total - 2
        engine.scoring += 1
        try:
            await asyncio.sleep(0)
            if engine.pause:
                await engine.pause.wait()
        finally:
            engine.scoring -= 1
        scored = Scored(engine.p_true[text], engine.mass.get(text, 1.0), total, 2)
        self.spent.cached_tokens += 2
        self.spent.scored_responses += 1
        self.spent.mass += scored.mass
        return scored

    def release(self) -> None:
        if not self.ended:
            self.ended = True
            self.engine.released += 1
