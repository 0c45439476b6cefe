"""The label stage's wall, queries to Parquet, against three ways to draw and score the same.

generate: bare `LLM.generate` of the samples, nothing scored. uncached: that, then each sample
scored alone, without prefix cache or reuse; it and ours take turns. two_processors: two
`ray.data.llm` processors in a row, one output a row. No wall has the start of Ray and of engines in
it: that of the two processors is measured with a run of one sample, and subtracted.
"""

import time
from collections.abc import Iterator
from typing import Any

from jobs.benchmarks import work
from jobs.benchmarks.measurement import Measurement, Process, Reach
from pipelines.config import Config

SAMPLES = 32
# name -> pairs of runs; template, queries, max_tokens; and what to reach against each baseline.
SETS: dict[str, tuple[int, tuple[str, int, int], dict[str, float]]] = {
    "short": (
        2,
        (work.SHORT, 12, 64),
        {"generate": 1 / 1.4, "two_processors": 1.5, "uncached": 1.6},
    ),
    "long": (
        1,
        (work.LONG, 8, 100),
        {"generate": 1 / 1.15, "two_processors": 1.5, "uncached": 1.3},
    ),
}


def run(quick: bool) -> Iterator[Measurement]:
    if quick:
        return
    asked = {
        name: (work.questions(template, queries), SAMPLES, max_tokens)
        for name, (_, (template, queries, max_tokens), _) in SETS.items()
    }
    walls: dict[str, dict[str, list[float]]] = {}
    with Process() as rays, Process() as vllm:
        for name, (times, _, _) in SETS.items():
            ours, sampled, both = [], [], []
            for _ in range(times):
                ours.append(work.on(rays, label_stage, *asked[name])["seconds"])
                drawing, scoring = work.on(vllm, plain, *asked[name])
                sampled.append(drawing)
                both.append(drawing + scoring)
            walls[name] = {"ours": ours, "generate": sampled, "uncached": both}
    with Process() as two:
        start = work.on(two, two_processors, work.questions(work.SHORT, 1), 1, 1)
        for name, (times, _, _) in SETS.items():
            wall = work.on(two, two_processors, *asked[name]) - start
            walls[name]["two_processors"] = [wall] * times  # one run, of minutes
    for name, (_, (_, queries, _), reach) in SETS.items():
        for baseline, bound in reach.items():
            pairs = [
                (queries / ours, queries / wall)
                for ours, wall in zip(walls[name]["ours"], walls[name][baseline], strict=True)
            ]
            yield Measurement.of(
                f"label_{name}.{baseline}", "queries/s", pairs, Reach("at least", bound)
            )


def _rows(config: Config) -> list[dict[str, Any]]:
    """The queries with their prompts, as the label stage reads them."""
    import pyarrow.parquet as pq

    from pipelines.stages import queries
    from pipelines.storage.location import Location

    out = Location.of(f"{config.root}/queries")
    out.make_dir()
    queries.run(config, {}, out, ("train",))
    return pq.read_table(f"{out.path}/train.parquet").to_pylist()


def label_stage(config: Config) -> dict[str, float]:
    """Our own: Ray Data over engine actors, samples with EDT, P(True), SSC, Parquet.

    Returns the artifact's counters, and `seconds` from the first query to the whole artifact.
    """
    import pyarrow.compute as pc

    from pipelines.running import cluster
    from pipelines.stages import label
    from pipelines.storage.location import Location

    _rows(config)
    cluster.connect(config)
    out = Location.of(f"{config.root}/label")
    out.make_dir()
    result = label.run(config, {"queries": Location.of(f"{config.root}/queries")}, out)
    end = time.time()
    began = out.read_table(columns=["counters"])["counters"].combine_chunks().field("began")
    return {**(result.metrics or {}), "seconds": end - pc.min(began).as_py()}


def plain(config: Config) -> tuple[float, float]:
    """Seconds of plain vLLM: to draw all samples, and to score each of them alone after that."""
    from vllm import SamplingParams

    from jobs.benchmarks.engines import of_this_process

    prompts = [row["prompt_ids"] for row in _rows(config)]
    engine = of_this_process()  # what a set has of its own is no part of an engine's settings
    engine.llm.reset_prefix_cache()
    sampling = config.sampling
    params = SamplingParams(
        n=sampling.num_samples, temperature=sampling.temperature, max_tokens=sampling.max_tokens
    )
    start = time.perf_counter()
    outputs = engine.generate(prompts, params)
    sampled = time.perf_counter()
    engine.score_alone(
        [
            engine.prompts.scoring_ids(ids, engine.prompts.response_ids(one.token_ids))
            for ids, output in zip(prompts, outputs, strict=True)
            for one in output.outputs
        ]
    )
    return sampled - start, time.perf_counter() - sampled


def two_processors(config: Config) -> float:
    import os

    import ray
    import ray.data
    import torch
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    from pipelines.engine.arguments import engine_arguments
    from pipelines.method.prompts import Prompts
    from pipelines.storage.models import fetch

    model = str(fetch(config.model.source))
    turn = Prompts.load(model).turn_ids
    rows = [
        {"id": f"{row['query_id']}-{i}", "ids": row["prompt_ids"]}
        for row in _rows(config)
        for i in range(config.sampling.num_samples)
    ]
    arguments = engine_arguments(model, config.engine)
    # It asks for a GPU an engine whatever the engine runs on: on a CPU, logical ones.
    gpus = None if torch.cuda.is_available() else 2
    ray.init(address="local", num_cpus=8, num_gpus=gpus, ignore_reinit_error=True)
    names = ("VLLM_", "OMP_", "TORCH")
    settings = vLLMEngineProcessorConfig(
        model_source=arguments.pop("model"),
        engine_kwargs=arguments,
        runtime_env={"env_vars": {k: v for k, v in os.environ.items() if k.startswith(names)}},
        concurrency=1,
        batch_size=64,
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        accelerator_type=None,
    )
    sampling = config.sampling
    draw = build_processor(
        settings,
        preprocess=lambda row: {
            "tokenized_prompt": row["ids"],
            "sampling_params": {
                "temperature": sampling.temperature,
                "max_tokens": sampling.max_tokens,
            },
        },
        postprocess=lambda row: {
            "scored": [*row["ids"], *row["generated_tokens"], *turn],
        },
    )
    score = build_processor(
        settings,
        preprocess=lambda row: {
            "tokenized_prompt": row["scored"],
            "sampling_params": {"temperature": 0, "max_tokens": 1, "logprobs": 20},
        },
        postprocess=lambda row: {"reply": row["generated_tokens"]},
    )
    start = time.perf_counter()
    score(draw(ray.data.from_items(rows))).write_parquet(f"{config.root}/two")
    return time.perf_counter() - start
