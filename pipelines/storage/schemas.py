"""Arrow schemas of every artifact: where the stages meet."""

import pyarrow as pa

from pipelines.method.token_confidences import SOURCES

QUERIES = pa.schema(
    [
        ("query_id", pa.string()),  # unique; a hash of data set and question
        ("dataset", pa.string()),
        ("split", pa.string()),  # the publisher's split
        ("role", pa.string()),  # train, calibration or eval
        ("kind", pa.string()),  # number, option, text or math
        ("choices", pa.list_(pa.string())),  # an option's texts, from A on; null where unknown
        ("question", pa.string()),  # as the model is asked it
        ("reference", pa.string()),  # several that are right are joined (method.answers)
        ("prompt", pa.string()),  # the rendered conversation
        ("prompt_ids", pa.list_(pa.int32())),
        ("system", pa.string()),  # a system prompt of the query's own; null: the config's
    ]
)

SAMPLE = pa.struct(
    [
        ("index", pa.int32()),
        ("text", pa.string()),
        ("answer", pa.string()),  # canonical, of math the first of its class; null: none
        ("p_true", pa.float32()),
        ("mass", pa.float32()),  # p(Yes) + p(No), of which p_true is noise where it is near 0
        ("target", pa.float32()),  # SSC; null without an answer
        ("num_tokens", pa.int32()),  # generated, the end token included
        ("finish_reason", pa.string()),
    ]
)

# What a query cost: tokens that the model computed (generated, scored) or took from the cache.
COUNTERS = pa.struct(
    [
        ("generated_tokens", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("scored_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("scored_responses", pa.int32()),
        ("mass", pa.float64()),  # of Yes and No, summed over the scored responses
        ("began", pa.float64()),  # Unix seconds: when the query came to an engine,
        ("ended", pa.float64()),  # and when its last sample was scored
    ]
)

LABELS = pa.schema(
    [
        *QUERIES,
        ("samples", pa.list_(SAMPLE)),
        ("response_ids", pa.list_(pa.list_(pa.int32()))),  # one list a sample, no end token
        ("counters", COUNTERS),
    ]
)

# Of evaluate, where the config names confidences of tokens: all of them, with each sample
# (method/token_confidences.py); null of a response without a token.
RESPONSES = LABELS.set(
    LABELS.get_field_index("samples"),
    pa.field(
        "samples",
        pa.list_(pa.struct([*SAMPLE, *(pa.field(name, pa.float32()) for name in SOURCES)])),
    ),
)

EXAMPLES = pa.schema(
    [
        ("example_id", pa.string()),
        ("query_id", pa.string()),
        ("dataset", pa.string()),
        ("task", pa.string()),  # its loss: calibration, generation or both
        ("prompt_ids", pa.list_(pa.int32())),
        ("response_ids", pa.list_(pa.int32())),
        ("ended", pa.bool_()),  # by an end token, not cut at max_tokens
        ("turn_ids", pa.list_(pa.int32())),
        ("target", pa.float32()),
        ("weight", pa.float32()),  # of its calibration loss
    ]
)
EXAMPLE_PARTS = ("prompt_ids", "response_ids", "turn_ids")  # what a model reads of one, in order

MODELS = BASE, CALIBRATED = "base", "calibrated"  # what evaluate asks and report compares


def of_seed(step: str, seed: int) -> str:
    """What a step is called in the training run of one of train.seeds."""
    return f"{step}_seed_{seed}"


# Names of the files and directories inside artifacts.
EXAMPLES_FILE = "examples.parquet"
ADAPTER_DIR = "adapter"  # of train and export: PEFT form
MODEL_DIR = "model"  # of export: merged
METRICS_FILE = "metrics.json"  # of a report
CALIBRATION_FILE = "calibration.json"  # of a report: thresholds that calibration queries chose
LOSSES_FILE = "losses.jsonl"  # of train: a line an optimizer step
LIVE_FILE = "live.json"  # of evaluate: live runs against their replay
