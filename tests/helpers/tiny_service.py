"""Settings of a service on the tiny model: an engine that starts at once and takes little."""

from typing import Any


def settings(model, port: int, engine: Any = (), serve: Any = (), **sections: Any) -> dict:
    """Of a config, those of some sections over these; the model is a directory."""
    return {
        "root": "r",
        "model": {"source": str(model)},
        "data": {"train": [{"name": "capitals"}]},
        "sampling": {"max_tokens": 9},
        "engine": {
            "dtype": "float32", "block_size": 32, "kv_cache_gib": 0.1, "max_model_len": 256,
            "enforce_eager": True, **dict(engine),
        },
        "serve": {"port": port, **dict(serve)},
        **sections,
    }  # fmt: skip
