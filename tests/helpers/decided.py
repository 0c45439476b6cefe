"""A request that is decided, without an engine: by samples of two answers."""

from fakes import DRAWING

from pipelines.engine.protocol import Counters, Generated
from pipelines.engine.sampling import Sample
from pipelines.serving.adaptive import Decision
from pipelines.serving.reply import Answered
from pipelines.serving.scaling import Plan

PLAN = Plan("early_stopping", 0.5, 8, "waves", False, "text", None, DRAWING, 0, None)


def sample(index, answer, p_true, tokens):
    generated = Generated([], f"text {index}", tokens, "stop", 20, 3)
    return Sample(index, generated, answer, p_true, 0.9)


USED = [sample(1, "b", 0.2, 7), sample(0, "a", 0.1, 10), sample(2, "b", 0.6, 4)]


def answered(used=USED, reason="policy", answer="b", started=5, finished=4, **spent):
    counted = {"generated_tokens": 31, "prompt_tokens": 28, "scored_tokens": 24} | spent
    counters = Counters(**counted, cached_tokens=52)
    confidences = [one.p_true for one in used]
    decision = Decision(answer, used, confidences, reason, started, finished)
    return Answered(PLAN, 20, decision, counters, 1.5)
