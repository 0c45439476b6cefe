"""Live adaptive answers through Serve over HTTP, against one sample at a time, each scored alone.

Both stop by the same policy and draw the same samples, so they give the same answers.
"""

import asyncio
import time
from collections.abc import Iterator

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Measurement, Reach, in_subprocess
from pipelines.engine.protocol import Drawing

POLICY, THRESHOLD, BUDGET = "early_stopping", 0.15, 16
Answers = list[tuple[str | None, int]]  # answer, samples used


def run(quick: bool) -> Iterator[Measurement]:
    if quick:
        return
    questions = work.questions(work.SHORT, 8)
    ours, answers = in_subprocess(serve, questions)
    alone, same = in_subprocess(one_by_one, questions)
    equal = sum(a == b for a, b in zip(answers, same, strict=True))
    used = sum(samples for _, samples in answers) / len(answers)
    print(f"bench: {equal} of {len(answers)} answers are the same, {used:.1f} samples a query")
    pairs = [(len(questions) / ours, len(questions) / alone)]
    yield Measurement.of("evaluate.one_by_one", "queries/s", pairs, Reach("at least", 3))


def serve(questions: list[str]) -> tuple[float, Answers]:
    """Seconds of a service that was ready, asked for all at once."""
    import aiohttp

    from pipelines.running import cluster
    from pipelines.serving.served import base_model
    from pipelines.serving.service import deploy

    config = work.config()
    cluster.connect(config)
    deploy(config, base_model(config), "bench", "/bench")
    url = f"http://{config.serve.host}:{config.serve.port}/bench/v1/chat/completions"

    async def ask(session: aiohttp.ClientSession, question: str) -> tuple[str | None, int]:
        scaling = {
            "policy": POLICY, "threshold": THRESHOLD, "budget": BUDGET, "kind": "text",
            "query_id": question,
        }  # fmt: skip
        body = {"messages": [{"role": "user", "content": question}], "scaling": scaling}
        async with session.post(url, json=body | {"seed": config.seed}) as response:
            response.raise_for_status()
            got = (await response.json())["scaling"]
        return got["answer"], got["samples"]["used"]

    async def ask_all() -> tuple[float, Answers]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=900)) as session:
            await ask(session, questions[0])  # warm-up
            start = time.perf_counter()
            answers = await asyncio.gather(*(ask(session, one) for one in questions))
            return time.perf_counter() - start, list(answers)

    return asyncio.run(ask_all())


def one_by_one(questions: list[str]) -> tuple[float, Answers]:
    from jobs.benchmarks.engines import PlainEngine
    from pipelines.engine.sampling import request_key
    from pipelines.engine.vllm_draw import respond_params
    from pipelines.method.answers import extract
    from pipelines.method.policies import POLICIES
    from pipelines.method.prompts import confidence

    config = work.config()
    engine = PlainEngine(config)
    prompts = engine.prompts

    def answer(question: str) -> tuple[str | None, int]:
        tally = POLICIES[POLICY].make(THRESHOLD).start()
        ids = prompts.sampling_ids(question)
        for i in range(BUDGET):
            key = request_key(config.seed, question, i)
            params = respond_params(Drawing.of(config.answering), key, prompts.end_ids)
            (drawn,) = engine.generate([ids], params)
            response = prompts.response_ids(list(drawn.outputs[0].token_ids))
            (scored,) = engine.score_alone([prompts.scoring_ids(ids, response)])
            by_id = {token: one.logprob for token, one in scored.outputs[0].logprobs[0].items()}
            text = prompts.response_text(response)
            c = confidence(by_id, config.confidence.kind, prompts)
            if tally.add(extract(text, "text"), c):
                break
        return tally.answer(), i + 1

    answer(questions[0])  # warm-up
    start = time.perf_counter()
    answers = [answer(question) for question in questions]
    return time.perf_counter() - start, answers
