"""How likely the model finds the tokens of a given response, by vLLM."""

import pipelines.engine.environment  # noqa: F401

# isort: split
import uuid
from collections.abc import Sequence

import numpy as np
from vllm import SamplingParams
from vllm.inputs import tokens_input
from vllm.v1.engine.async_llm import AsyncLLM

from pipelines.engine.vllm_draw import next_output
from pipelines.method.token_confidences import TOP, LogProbabilities


async def read(
    llm: AsyncLLM, prompt_ids: Sequence[int], response_ids: Sequence[int]
) -> LogProbabilities:
    """One forward over prompt and response: where a request asks for them, vLLM computes all of its
    prompt, cached or not. It samples a token after it, too, which is left.

    A draw does not tell them: EDT leaves one token of each row of logits, and the engine's own
    log-probabilities would be of that row.
    """
    params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=TOP, detokenize=False)
    whole = [*prompt_ids, *response_ids]
    request = uuid.uuid4().hex
    output = await next_output(llm.generate(tokens_input(whole), params, request))
    assert output.prompt_logprobs, "the engine returned no log-probabilities"
    tokens, top = [], []
    places = output.prompt_logprobs[len(prompt_ids) :]
    for token, place in zip(response_ids, places, strict=True):
        assert place, "only a prompt's first token has none"
        by_id = {one: entry.logprob for one, entry in place.items()}
        tokens.append(by_id[token])
        top.append(sorted(by_id.values())[-TOP:])  # the token is there, likely or not
    assert np.isfinite(top).all()
    return LogProbabilities(np.array(tokens), np.array(top))
