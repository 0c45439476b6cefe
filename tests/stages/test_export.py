"""The export stage: what its artifact holds, and which examples its drift is measured on."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from adapters import write_adapter

from pipelines.config import Config
from pipelines.method.prompts import Prompts
from pipelines.stages import export
from pipelines.storage.location import Location
from pipelines.storage.schemas import ADAPTER_DIR, EXAMPLES, EXAMPLES_FILE, MODEL_DIR
from pipelines.training import lora


def write_examples(directory, lengths, turn_ids=(5,)):
    """An example of each length, turn included, known by its prompt."""
    directory.mkdir()
    rows = [
        dict.fromkeys(EXAMPLES.names)
        | {
            "prompt_ids": [100 + number],
            "response_ids": [7] * (length - 1 - len(turn_ids)),
            "turn_ids": list(turn_ids),
        }
        for number, length in enumerate(lengths)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), directory / EXAMPLES_FILE)
    return Location.of(str(directory))


def test_the_drift_is_measured_on_the_first_rows_that_are_trained_on(tmp_path):
    lengths = [9, 11, 10] * 20  # of which every second does not fit
    rows = export.handful(write_examples(tmp_path / "examples", lengths), max_length=10)
    assert [row["prompt_ids"][0] - 100 for row in rows[:4]] == [0, 2, 3, 5]
    assert len(rows) == export.HANDFUL


def test_the_artifact_and_its_drift(tiny, tmp_path, capsys, monkeypatch):
    turn_ids = Prompts.load(tiny).turn_ids
    examples = write_examples(tmp_path / "examples", range(30, 40), turn_ids)
    write_adapter(tiny, tmp_path / "train" / ADAPTER_DIR)
    made = Config.model_validate(
        {
            "root": "r",
            "model": {"source": str(tiny)},
            "data": {"train": [{"name": "capitals"}]},
            "confidence": {"kind": "yes_no"},
            "train": {"dtype": "float32", "threads": 3},
        }
    )
    threads, merge, before = [], lora.merge, torch.get_num_threads()

    def merged(*arguments):
        threads.append(torch.get_num_threads())
        merge(*arguments)

    monkeypatch.setattr(lora, "merge", merged)
    out = tmp_path / "export"
    out.mkdir()
    train = Location.of(str(tmp_path / "train"))
    result = export.run(made, {"examples": examples, "train": train}, Location.of(str(out)))
    assert (out / ADAPTER_DIR / "adapter_model.safetensors").is_file()
    assert (out / MODEL_DIR / "model.safetensors").is_file()
    assert [*threads, torch.get_num_threads()] == [3, before]
    drift = result.metrics["drift"]
    assert drift["examples"] == 10
    assert drift["merged"]["max"] == pytest.approx(0, abs=1e-5)
    assert drift["effect"]["mean"] > 0.01
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("export: on 10 examples the merged model's confidence is ")
