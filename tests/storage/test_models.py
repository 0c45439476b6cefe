"""Model sources: what is refused, and that a node's cache is filled whole or not at all."""

import contextlib
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tokenizing import byte_level, template, write

from pipelines.method.prompts import Prompts
from pipelines.method.tokenizer import load_tokenizer
from pipelines.storage import models
from pipelines.storage.location import Location


def test_the_builtin_model_is_plain_safetensors(smollm):
    files = {file.name for file in smollm.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files
    assert "quantization_config" not in json.loads((smollm / "config.json").read_text())
    models.check(str(smollm))


def test_a_uri_is_fetched_once(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCAL_CACHE", str(tmp_path / "cache"))
    bucket = tmp_path / "bucket"
    shutil.copytree(tiny, bucket)
    first = models.fetch(f"file://{bucket}")
    assert {file.name for file in first.iterdir()} == {file.name for file in tiny.iterdir()}
    monkeypatch.setattr(Location, "download", None)
    assert models.fetch(f"file://{bucket}") == first


def adapter(directory, text):
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text(text)
    (directory / "adapter_model.safetensors").write_text("weights")


def test_what_is_made_anew_at_a_uri_is_fetched_anew(tmp_path, monkeypatch):
    """As an export is, whose root was deleted; the first one's copy serves those that have it."""
    monkeypatch.setenv("SELFCAL_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "root" / "export" / "adapter"
    adapter(place, '{"run": 1}')
    first = models.fetch_adapter(f"file://{place}")
    shutil.rmtree(tmp_path / "root")
    adapter(place, '{"run": 2}')
    second = models.fetch_adapter(f"file://{place}")
    read = [(one / "adapter_config.json").read_text() for one in (first, second)]
    assert read == ['{"run": 1}', '{"run": 2}']


def test_a_tokenizer_that_is_mended_at_a_uri_is_fetched_anew(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCAL_CACHE", str(tmp_path / "cache"))
    bucket = tmp_path / "bucket"
    shutil.copytree(tiny, bucket)
    models.fetch_tokenizer(f"file://{bucket}")
    (bucket / "chat_template.jinja").write_text("mended")
    fetched = models.fetch_tokenizer(f"file://{bucket}")
    assert (fetched / "chat_template.jinja").read_text() == "mended"


def test_a_tokenizer_is_fetched_without_weights(tiny, tmp_path, monkeypatch):
    """Of a URI the files of conversations alone, until the model is there as a whole."""
    monkeypatch.setenv("SELFCAL_CACHE", str(tmp_path / "cache"))
    bucket = tmp_path / "bucket"
    shutil.copytree(tiny, bucket)
    fetched = models.fetch_tokenizer(f"file://{bucket}")
    assert not list(fetched.glob("*.safetensors"))
    for asked in ("What?", "Is it?"):
        ids = [Prompts.load(one).sampling_ids(asked) for one in (fetched, tiny)]
        assert ids[0] == ids[1]
    whole = models.fetch(f"file://{bucket}")
    assert models.fetch_tokenizer(f"file://{bucket}") == whole
    assert models.fetch_tokenizer(str(tiny)) == tiny
    fetched = models.fetch_tokenizer("builtin:smollm2-135m")
    assert {one.name for one in fetched.iterdir()} >= {"tokenizer.json", "chat_template.jinja"}
    assert not list(fetched.glob("*.safetensors"))


def test_engines_that_start_together_fetch_once(tiny, tmp_path, monkeypatch):
    """All four would meet in the download, if it were not the first one's alone."""
    monkeypatch.setenv("SELFCAL_CACHE", str(tmp_path / "cache"))
    met, download = threading.Barrier(4, timeout=1), Location.download
    downloads = []

    def meet_and_download(self, directory):
        downloads.append(directory)
        with contextlib.suppress(threading.BrokenBarrierError):
            met.wait()
        download(self, directory)

    monkeypatch.setattr(Location, "download", meet_and_download)
    with ThreadPoolExecutor(4) as pool:
        fetched = set(pool.map(models.fetch, [f"file://{tiny}"] * 4))
    assert len(fetched) == len(downloads) == 1
    assert (fetched.pop() / "model.safetensors").exists()


def test_a_fetch_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCAL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"nothing: no files are there"):
        models.fetch(f"file://{tmp_path}/nothing")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").touch()
    with pytest.raises(ValueError, match=r"half has no tokenizer.json"):
        models.fetch(f"file://{tmp_path}/half")
    assert not list((tmp_path / "cache" / "models").iterdir())


def test_weights_that_are_not_whole_are_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCAL_CACHE", str(tmp_path / "cache"))
    bucket = tmp_path / "bucket"
    shutil.copytree(tiny, bucket)
    weights = bucket / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"bucket/model.safetensors is not whole"):
        models.fetch(f"file://{bucket}")
    assert not list((tmp_path / "cache" / "models").iterdir())


def test_no_network_is_one_line(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"could not fetch no-such/model from the hub \(\w+\)"):
        models.fetch("no-such/model")


def test_what_a_hub_gives_is_looked_at(tmp_path, monkeypatch):
    base = write(tmp_path, byte_level(), None)
    (base / "model.safetensors").touch()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: str(base))
    with pytest.raises(ValueError, match="the tokenizer in some/model has no chat template"):
        models.fetch("some/model")


@pytest.mark.parametrize("with_code", [False, True])
def test_the_code_that_a_model_of_the_hub_brings_is_fetched_where_it_is_trusted(
    tiny, tmp_path, monkeypatch, with_code
):
    hub, here = tmp_path / "hub", tmp_path / "here"
    shutil.copytree(tiny, hub)
    (hub / "modeling_own.py").write_text("")
    (hub / "pytorch_model.bin").write_text("")

    def snapshot_download(source, allow_patterns):
        here.mkdir()
        for pattern in allow_patterns:
            for file in hub.glob(pattern):
                shutil.copy(file, here)
        return str(here)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    fetched = {file.name for file in models.fetch("some/model", with_code).iterdir()}
    assert ("modeling_own.py" in fetched) == with_code
    assert "pytorch_model.bin" not in fetched
    shutil.rmtree(here)
    (hub / "config.json").unlink()
    with pytest.raises(ValueError, match=r"some/model has no config.json"):
        models.fetch("some/model", with_code)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda model: (model / "config.json").unlink(), "has no config.json"),
        (lambda model: (model / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda model: (model / "model.safetensors").rename(model / "pytorch_model.bin"), "pickle"),
        (lambda model: (model / "chat_template.jinja").unlink(), "no chat template"),
        (lambda model: (model / "tokenizer.json").rename(model / "tekken.json"), "Mistral's own"),
        (lambda model: (model / "tokenizer.json").write_text("{}"), r"tokenizer.json cannot be r"),
        *(
            (lambda model, text=text: (model / "tokenizer_config.json").write_text(text), says)
            for text, says in (
                ("{", r"tokenizer_config.json cannot be"),
                ("[]", r"tokenizer_config.json cannot be read \(it holds no JSON object\)"),
                ("null", r"tokenizer_config.json cannot be read \(it holds no JSON object\)"),
            )
        ),
    ],
)
def test_what_is_wrong_with_a_directory(tiny, tmp_path, spoil, says):
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    spoil(model)
    with pytest.raises(ValueError, match=says):
        models.check(str(model))


def test_a_copied_tokenizer_is_read_right_by_transformers(tmp_path):
    """The class that DeepSeek-R1-Distill-Llama names makes it drop spaces; vLLM loads it so too."""
    from transformers import AutoTokenizer

    made = byte_level(special=("<end>",))
    named = {"tokenizer_class": "LlamaTokenizerFast", "auto_map": {"AutoTokenizer": ["t.T", None]}}
    base = write(tmp_path / "base", made, template("zephyr"), **named, eos_token="<end>")
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    (base / "model.safetensors").write_text("no tokenizer")
    out = write(tmp_path / "out", "", None)
    models.copy_tokenizer(base, out)
    copied = AutoTokenizer.from_pretrained(out)
    expected = load_tokenizer(base)
    text = "Is it  2 + 2?\n\nYes\n"
    assert copied.encode(text) == expected.encode(text)
    assert copied.decode(copied.encode(text)) == text
    assert copied.eos_token == "<end>"
    assert copied.chat_template == {"default": template("zephyr"), "tools": "{{ tools }}"}
    assert not (out / "model.safetensors").exists()


@pytest.mark.parametrize("text", ["[]", "null", "{"])
def test_settings_that_cannot_be_copied(tmp_path, text):
    base = write(tmp_path / "base", byte_level(), None)
    (base / "tokenizer_config.json").write_text(text)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"base/tokenizer_config.json cannot be read"):
        models.copy_tokenizer(base, tmp_path / "out")


def test_lora_targets_that_the_model_has_not(tiny):
    models.check_modules(str(tiny), ["q_proj", "self_attn.v_proj"])
    with pytest.raises(ValueError, match=r"no matrix 'proj', only .*down_proj.*q_proj"):
        models.check_modules(str(tiny), ["q_proj", "proj"])
    with pytest.raises(ValueError, match=r"no matrix 'norm', only"):
        models.check_modules(str(tiny), ["norm"])  # its weight is a vector
    models.check_modules("no/such-model", ["proj"])  # not on this machine yet


def test_lora_targets_that_a_fetched_model_of_the_hub_has_not(tiny, monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda source, name: str(tiny / name)
    )
    with pytest.raises(ValueError, match=r"no matrix 'proj', only .*down_proj.*q_proj"):
        models.check_modules("some/model", ["proj"])
