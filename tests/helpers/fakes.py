"""An engine without a model, where only the calls matter; test_vllm_engine.py has the real one."""

import asyncio
from collections.abc import Sequence

from pipelines.engine.protocol import Generated, Scored
from pipelines.running.progress import Count

PROMPT_TURN = 5  # tokens of the made-up confidence turn


class FakeEngine:
    """Answers by key: text `answers[key % len(answers)]`, confidence from `p_true`.

    mass: of Yes and No together, by text; 1, by default.
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
        self.scored: list[str] = []
        self.released = 0
        self.cancelled = 0
        self.running = 0
        self.most_running = 0

    async def draw(self, prompt_ids: Sequence[int], key: int) -> "FakeDraw":
        self.drawn.append(key)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for _ in range(key % 7 if self.delays else 1):  # later keys may end first
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        text = self.answers[key % len(self.answers)]
        ids = [ord(c) for c in text]
        return FakeDraw(self, Generated(ids, text, len(ids) + 1, "stop", len(prompt_ids), 1))

    def shutdown(self) -> None:
        pass


class FakeDraw:
    def __init__(self, engine: FakeEngine, generated: Generated):
        self.engine, self.generated = engine, generated

    async def score(self) -> Scored:
        text = self.generated.text
        self.engine.scored.append(text)
        await asyncio.sleep(0)
        total = self.generated.prompt_tokens + len(self.generated.token_ids) + PROMPT_TURN
        return Scored(self.engine.p_true[text], self.engine.mass.get(text, 1.0), total, 2)

    def release(self) -> None:
        self.engine.released += 1
