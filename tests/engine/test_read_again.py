"""Responses read again: equal ones once, and what has no token not at all."""

import asyncio

import numpy as np

from pipelines.engine.read_again import with_token_confidences
from pipelines.method.token_confidences import SOURCES, TOP, LogProbabilities, token_confidences


class Reader:
    """Finds token i as likely as exp(-i)."""

    def __init__(self):
        self.asked, self.reading, self.most_reading = [], 0, 0

    async def read(self, prompt_ids, response_ids):
        self.asked.append((prompt_ids, response_ids))
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        return likely(response_ids)


def likely(response_ids):
    tokens = -np.array(response_ids, float)
    return LogProbabilities(tokens, np.repeat(tokens[:, None], TOP, axis=1))


def test_every_sample_gets_the_confidences_of_its_own_response():
    responses = [[1, 2, 3], [4], [], [1, 2, 3], [5, 6]]
    labeled = {
        "query_id": "q",
        "prompt_ids": [7, 8],
        "samples": [{"index": i, "p_true": i / 10} for i in range(5)],
        "response_ids": responses,
    }
    reader = Reader()
    room = asyncio.Semaphore(2)
    row = asyncio.run(with_token_confidences(reader, labeled, 2, room))
    assert sorted(reader.asked) == [([7, 8], (1, 2, 3)), ([7, 8], (4,)), ([7, 8], (5, 6))]
    assert reader.most_reading == 2
    for sample, before, ids in zip(row["samples"], labeled["samples"], responses, strict=True):
        own = token_confidences(likely(ids), 2) if ids else dict.fromkeys(SOURCES)
        assert sample == before | own
    assert {key: row[key] for key in row if key != "samples"} == {
        key: labeled[key] for key in labeled if key != "samples"
    }
