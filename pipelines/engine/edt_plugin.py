"""EDT in vLLM's sampler, in both of its logits-processor interfaces; an entry point of vLLM's.

Where the project is installed, a plain server takes it as a request argument:

    vllm serve MODEL --generation-config vllm
    {"temperature": 1.0, "vllm_xargs": {"edt_t0": 0.8}, ...}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from vllm import SamplingParams
from vllm.utils.torch_utils import async_tensor_h2d
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.logits_processor.interface import LogitsProcessor as V1LogitsProcessor
from vllm.v1.worker.gpu.sample.logits_processor.interface import (
    LogitsProcessor as V2LogitsProcessor,
)

from pipelines.engine import edt_rewrite, token_channel
from pipelines.engine.edt_rewrite import Change, Requests

LOG_PROBABILITIES = "log_probabilities"  # the argument of a request that is scored
TOKEN_FACTS = "token_facts"  # of one that wants its tokens' (token_channel.py)
WARM_UP = "edt_warm_up"  # of vLLM's additional_config: compile at the start, not amid requests

# vLLM's V2 runner applies these before EDT, and V1 after it, where a draw stands.
_PENALTIES = {"frequency_penalty": 0.0, "presence_penalty": 0.0, "repetition_penalty": 1.0}
# After a draw in both. So would be top_p, top_k and min_p, which vLLM takes from a request of
# temperature 0: a draw has edt_top_p. Logit bias, bad words, allowed tokens, min_tokens and
# grammars come before EDT.
_AFTER_A_DRAW = ("seed", "thinking_token_budget")
# vLLM's server fills in what a request leaves out.
_NOT_NAMED = (
    ", or where no request names it, start vllm serve with --generation-config vllm, for the "
    "model's generation_config.json does"
)


@dataclass(frozen=True)
class _Request:
    """The arguments of one request, from its `extra_args` (`vllm_xargs` over HTTP)."""

    t0: float = 0.0
    base: float = 0.8
    theta: float = 1.0
    paper_code: bool = False
    top_p: float = 1.0  # of a draw at a fixed temperature (theta 0)
    key: int | None = None  # draws by (key, position); None leaves the draw to the engine
    scores: bool = False  # wants its log-probabilities, and no EDT
    tells: bool = False  # wants the facts of each token that is drawn

    @classmethod
    def parse(cls, params: SamplingParams) -> "_Request | None":
        given: Mapping[str, Any] = params.extra_args or {}
        if given.get(LOG_PROBABILITIES):
            return cls(scores=True)
        tells = bool(given.get(TOKEN_FACTS))
        if tells and params.temperature != 0.0:
            raise ValueError(f"{TOKEN_FACTS}: set the request's temperature to 0")
        if tells or "edt_t0" in given:
            for name, none in _PENALTIES.items():
                if getattr(params, name) != none:
                    raise ValueError(
                        f"{name}: vLLM applies it before EDT or after it; leave it out{_NOT_NAMED}"
                    )
        if "edt_t0" not in given:
            return cls(tells=True) if tells else None
        try:
            request = cls(
                t0=float(given["edt_t0"]),
                base=float(given.get("edt_base", 0.8)),
                theta=float(given.get("edt_theta", 1.0)),
                paper_code=bool(given.get("edt_paper_code", 0)),
                top_p=float(given.get("edt_top_p", 1.0)),
                key=int(given["edt_key"]) if "edt_key" in given else None,
                tells=tells,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"edt_*: expected numbers ({error})") from None
        # Bounds that keep float32 finite; nan is within none.
        if not (0 < request.t0 <= 1e3 and 1e-3 <= request.base <= 1 and 0 <= request.theta <= 1e3):
            raise ValueError(
                "edt_t0 must be in (0, 1000], edt_base in [0.001, 1], edt_theta in [0, 1000]"
            )
        if not 0 < request.top_p <= 1:
            raise ValueError("edt_top_p must be in (0, 1]")
        if request.top_p < 1 and request.key is None:
            raise ValueError("edt_top_p goes with edt_key: give vLLM the request's own top_p")
        if request.top_p < 1 and request.theta:
            raise ValueError("edt_top_p goes with a fixed temperature: set edt_theta to 0")
        if request.key is not None and not 0 <= request.key < 2**63:
            raise ValueError("edt_key must be a whole number in [0, 2**63)")
        if request.key is None and params.temperature != 1.0:
            raise ValueError(
                f"EDT sets the temperature: leave the request's own at 1.0{_NOT_NAMED}"
            )
        if request.key is not None and params.temperature != 0.0:
            raise ValueError("edt_key makes the draw: set the request's temperature to 0")
        for name in _AFTER_A_DRAW if request.key is not None else ():
            if getattr(params, name) is not None:
                raise ValueError(f"{name}: it does nothing where edt_key draws; leave it out")
        return request

    @property
    def change(self) -> Change:
        if self.scores:
            return Change.NORMALIZE
        if not self.t0:
            return Change.NONE
        if self.key is None:
            return Change.SCALE
        return Change.DRAW if self.top_p == 1 else Change.DRAW_TOP_P


class EDTLogitsProcessor(V1LogitsProcessor, V2LogitsProcessor):
    """EDT in the sampler, for the requests that carry `edt_t0`.

    Without `edt_key` it divides a row by its temperature and the engine draws. With it, it
    draws the token itself, exactly, and leaves the engine's argmax only that one: the draw
    depends on (key, position), not on the batch, and the engine's own sampler is skipped.

    A request with LOG_PROBABILITIES has its row of logits normalized. Where the engine reports
    processed logits, these are what it reports: P(True). Its own log-probabilities cost a pass
    over the whole batch whenever one request of it asks for them. With TOKEN_FACTS the row has the
    facts of its token, whether drawn here or the likeliest.
    """

    def __init__(self, vllm_config: Any, device_or_states: Any, is_pin_memory: bool = False):
        v1 = isinstance(device_or_states, torch.device)
        self._states = None if v1 else device_or_states
        self._device = device_or_states if v1 else device_or_states.device
        self._running: dict[int, tuple[_Request, list[int]]] = {}  # V1: each row's, and its tokens
        slots = vllm_config.scheduler_config.max_num_seqs
        # What each slot's request asks for: written here, copied to the device when it changed.
        self._host = Requests(
            change=torch.zeros(slots, dtype=torch.int32),
            key=torch.zeros(slots, dtype=torch.int64),
            settings=torch.zeros(slots, 5),
        )
        self._changes, self._keys, self._settings = (one.numpy() for one in self._host)  # views
        self._tells = np.zeros(slots, bool)
        self._stale = True
        self.apply_staged_writes()
        if vllm_config.additional_config.get(WARM_UP):
            self._warm_up(slots, vllm_config.model_config.get_vocab_size())

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        _Request.parse(sampling_params)

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1: a row is a batch index, which a request may leave for another."""

        def new_state(params: SamplingParams, _: Any, tokens: list[int]) -> Any:
            request = _Request.parse(params)
            return None if request is None else (request, tokens)

        if process_dict_updates(self._running, batch_update, new_state):
            self._changes.fill(Change.NONE)
            self._tells.fill(False)
            for row, (request, _) in self._running.items():
                self._write(row, request)
            self.apply_staged_writes()

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """V2: slots are recycled, so a request without EDT clears what stood there."""
        request = _Request.parse(sampling_params)
        self._write(req_idx, request or _Request())
        return request is not None

    def _write(self, slot: int, request: _Request) -> None:
        self._changes[slot] = request.change
        self._tells[slot] = request.tells
        self._keys[slot] = request.key or 0
        self._settings[slot] = (
            request.t0, request.base, request.theta, request.paper_code, request.top_p,
        )  # fmt: skip
        self._stale = True

    def apply_staged_writes(self) -> None:
        """V2 calls it before each step. Nothing in it, nor in `apply`, waits for the device."""
        if self._stale:
            self._requests = Requests(
                *(async_tensor_h2d(column, self._device) for column in self._host)
            )
            self._stale = False

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        slots_here = np.arange(len(logits)) if ctx is None else ctx.idx_mapping_np
        telling = torch.from_numpy(np.flatnonzero(self._tells[slots_here]))
        if not len(telling):
            return self._rewrite(logits, self._changes[slots_here], ctx)
        rows = async_tensor_h2d(telling, self._device)
        before = logits[rows]
        self._rewrite(logits, self._changes[slots_here], ctx)
        token_channel.leave(logits, rows, before)
        return logits

    def _rewrite(self, logits: torch.Tensor, changes: np.ndarray, ctx: Any) -> torch.Tensor:
        """changes: of the rows."""
        if not changes.any():
            return logits
        if ctx is None:  # V1
            so_far = np.zeros(len(logits), np.int64)
            for row, (_, tokens) in self._running.items():
                so_far[row] = len(tokens)
            slots = torch.arange(len(logits), device=self._device)
            positions = async_tensor_h2d(so_far, self._device)
        else:  # V2: rows are in an order of this step's own
            assert self._states is not None
            slots = ctx.expanded_idx_mapping
            positions = (ctx.pos + 1 - self._states.prompt_len.gpu[slots]).long()
        if logits.is_cuda:
            from pipelines.engine.edt_kernels import rewrite

            rewrite(logits, slots, positions, self._requests, changes)
        else:
            assert len(changes) == len(logits), "a row a request: no speculative decoding on a CPU"
            edt_rewrite.rewrite(logits, slots, positions, self._requests, changes)
        return logits

    def _warm_up(self, rows: int, vocab: int) -> None:
        """Compiles what `apply` calls now, for the types that it will see, not amid requests."""
        if self._device.type == "cuda":
            from pipelines.engine.edt_kernels import rewrite

            one = torch.zeros(1, dtype=torch.int64, device=self._device)
            logits = torch.zeros(1, vocab, device=self._device)
            for change in (Change.DRAW, Change.DRAW_TOP_P):
                rewrite(logits, one, one, self._requests, np.array([change]))
        else:
            edt_rewrite.warm_up(rows, vocab, self._device)
