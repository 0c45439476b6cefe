"""vLLM behind the Engine protocol."""

import pipelines.engine.environment  # noqa: F401

# isort: split
import atexit
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import ValidationError
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform
from vllm.v1.engine.async_llm import AsyncLLM

from pipelines.config import ConfidenceConfig, Config, EngineConfig
from pipelines.engine.arguments import adapter_arguments, engine_arguments
from pipelines.engine.footprint import need, reserve
from pipelines.engine.protocol import Counters, Drawing
from pipelines.engine.vllm_draw import VLLMDraw
from pipelines.method.prompts import Prompts
from pipelines.method.template import PLAIN, Chat
from pipelines.running.placement import where_parts_go
from pipelines.running.progress import Count
from pipelines.storage.models import fetch, fetch_adapter


class VLLMEngine:
    """vLLM's AsyncLLM. It starts a process: scripts need `if __name__ == "__main__"`.

    It draws from the model in model_dir; `adapted` gives the same with one of the adapters (name ->
    directory in PEFT form) on it. ValueError where vLLM does not start with this config on this
    model and machine.
    """

    def __init__(
        self,
        model_dir: str,
        engine: EngineConfig,
        scoring: ConfidenceConfig,
        chat: Chat = PLAIN,
        adapters: Mapping[str, Path] | None = None,
    ):
        adapters = adapters or {}
        self.count = Count()
        self._kind = scoring.kind
        self.prompts = Prompts.load(model_dir, scoring.question, chat)
        try:
            self._llm = AsyncLLM.from_engine_args(
                AsyncEngineArgs(
                    **engine_arguments(model_dir, engine, adapters.values()),
                    # What is reported is what the plugin leaves in the rows that ask for it.
                    logprobs_mode="processed_logits",
                    # It gets ids and gives ids; its own tokenizer need not be the one of
                    # method/tokenizer.py. What reads images wants one, and there are none.
                    skip_tokenizer_init=True,
                    language_model_only=True,
                )
            )
        except ValidationError as error:  # what vLLM's config refuses
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"engine: vLLM does not start: {message}") from None
        except RuntimeError as error:
            if not str(error).startswith("Engine core initialization failed"):
                raise
            raise ValueError(
                "engine: vLLM does not start; its process says why above (of memory decide "
                "engine.gpu_memory_utilization, engine.kv_cache_gib, engine.max_model_len and "
                "engine.max_num_seqs)"
            ) from None
        self._adapters = {
            name: LoRARequest(name, number, str(directory))
            for number, (name, directory) in enumerate(adapters.items(), start=1)
        }
        # It would end responses at what the model's files name, too, and that may be text
        # (method/tokenizer.py).
        self._llm.input_processor.generation_config_fields.pop("eos_token_id", None)
        # It reports an engine's end at each exit, too. An engine that fails says why in its own
        # process. Only here: an engine that starts sets all of vLLM's loggers anew.
        logging.getLogger("vllm.v1.engine.async_llm").setLevel(logging.CRITICAL)
        # A process that ends takes its children with it first: vLLM would report a crash.
        atexit.register(self.shutdown)

    @classmethod
    def of(
        cls,
        config: Config,
        source: str,
        adapters: Mapping[str, str] | None = None,
    ) -> Self:
        """The engine of a config on a model's source and on adapters' (name -> source), fetched to
        the nodes that have none of them.
        """
        adapters = adapters or {}

        def fetched() -> tuple[Path, ...]:
            model = fetch(source, config.engine.trust_remote_code)
            return model, *map(fetch_adapter, adapters.values())

        here, *others = sorted(set(where_parts_go(config.engine, fetched)))
        if others:
            raise ValueError(
                f"engine: one node keeps the model in {here[0]}, another in {others[0][0]}; "
                "set $SELFCAL_CACHE to one path on all nodes"
            )
        model_dir, *adapter_dirs = here
        if current_platform.is_cpu():
            lora = adapter_arguments(adapter_dirs)
            rows = lora["max_loras"] * lora["max_lora_rank"] if lora else 0
            reserve(need(model_dir, config.engine, rows), config.engine)
        return cls(
            str(model_dir),
            config.engine,
            config.confidence,
            config.model.chat,
            dict(zip(adapters, adapter_dirs, strict=True)),
        )

    async def draw(
        self,
        prompt_ids: Sequence[int],
        key: int,
        drawing: Drawing,
        spent: Counters,
        heard: Callable[[str], None] | None = None,
        live: bool = False,
        adapter: LoRARequest | None = None,
    ) -> VLLMDraw:
        draw = VLLMDraw(self._llm, self.prompts, self._kind, spent, adapter)
        await draw.respond(prompt_ids, key, drawing, self.count, heard, live)
        self.count.done += 1
        return draw

    def adapted(self, name: str) -> "AdaptedEngine":
        return AdaptedEngine(self, self._adapters[name])

    def shutdown(self) -> None:
        """Ends the engine and its process; it takes no more requests. Again, it does nothing."""
        llm = self.__dict__.pop("_llm", None)
        if llm is None:  # a framework's hook, Python's exit and its destructors all come here
            return
        atexit.unregister(self.shutdown)
        # Its reader would take the process's end for a crash and report one.
        reader = llm.output_handler
        if reader is not None and not reader.get_loop().is_closed():
            reader.get_loop().call_soon_threadsafe(reader.cancel)
        llm.shutdown()


class AdaptedEngine:
    """An engine whose draws and scores are of its model with an adapter on it."""

    def __init__(self, engine: VLLMEngine, adapter: LoRARequest):
        self.count = engine.count
        self._engine, self._adapter = engine, adapter

    async def draw(
        self,
        prompt_ids: Sequence[int],
        key: int,
        drawing: Drawing,
        spent: Counters,
        heard: Callable[[str], None] | None = None,
        live: bool = False,
    ) -> VLLMDraw:
        adapter = self._adapter
        return await self._engine.draw(prompt_ids, key, drawing, spent, heard, live, adapter)

    def shutdown(self) -> None:
        self._engine.shutdown()
