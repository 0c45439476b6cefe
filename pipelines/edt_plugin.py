"""EDT in vLLM's sampler, in both of its logits-processor interfaces; an entry point of vLLM's.

Where the project is installed, a plain server takes it as a request argument:

    vllm serve MODEL      then      {"temperature": 1.0, "vllm_xargs": {"edt_t0": 0.8}, ...}
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.logits_processor.interface import LogitsProcessor as V1LogitsProcessor
from vllm.v1.worker.gpu.sample.logits_processor.interface import (
    LogitsProcessor as V2LogitsProcessor,
)

from pipelines.edt import Spread, edt_temperature, inverse_cdf, spread, uniforms, warm_up

LOG_PROBABILITIES = "log_probabilities"  # the argument of a request that is scored
WARM_UP = "edt_warm_up"  # of vLLM's additional_config: compile at the start, not amid requests


@dataclass(frozen=True)
class _Request:
    """The arguments of one request, from its `extra_args` (`vllm_xargs` over HTTP)."""

    t0: float = 0.0
    base: float = 0.8
    theta: float = 1.0
    paper_code: bool = False
    key: int | None = None  # draws by (key, position); None leaves the draw to the engine
    scores: bool = False  # wants its log-probabilities, and no EDT

    @classmethod
    def parse(cls, params: SamplingParams) -> "_Request | None":
        given: Mapping[str, Any] = params.extra_args or {}
        if given.get(LOG_PROBABILITIES):
            return cls(scores=True)
        if "edt_t0" not in given:
            return None
        try:
            request = cls(
                t0=float(given["edt_t0"]),
                base=float(given.get("edt_base", 0.8)),
                theta=float(given.get("edt_theta", 1.0)),
                paper_code=bool(given.get("edt_paper_code", 0)),
                key=int(given["edt_key"]) if "edt_key" in given else None,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"edt_*: expected numbers ({error})") from None
        if not (request.t0 > 0 and 0 < request.base <= 1 and request.theta >= 0):
            raise ValueError("edt_t0 must be > 0, edt_base in (0, 1], edt_theta >= 0")
        if request.key is not None and not 0 <= request.key < 2**63:
            raise ValueError("edt_key must be a whole number in [0, 2**63)")
        if request.key is None and params.temperature != 1.0:
            raise ValueError("EDT sets the temperature: leave the request's own at 1.0")
        if request.key is not None and params.temperature != 0.0:
            raise ValueError("edt_key makes the draw: set the request's temperature to 0")
        return request

    @property
    def change(self) -> "_Change":
        if self.scores:
            return _normalize
        return _scale if self.key is None else _draw


class EDTLogitsProcessor(V1LogitsProcessor, V2LogitsProcessor):
    """EDT in the sampler, for the requests that carry `edt_t0`.

    Without `edt_key` it divides a row by its temperature and the engine draws. With it, it
    draws the token itself, exactly, and leaves the engine's argmax only that one: the draw
    depends on (key, position), not on the batch, and the engine's own sampler is skipped.

    A request with LOG_PROBABILITIES has its row of logits normalized. Where the engine reports
    processed logits, these are what it reports: P(True). Its own log-probabilities cost a pass
    over the whole batch whenever one request of it asks for them.
    """

    def __init__(self, vllm_config: Any, device_or_states: Any, is_pin_memory: bool = False):
        self._requests: dict[int, tuple[_Request, Any]] = {}
        self._states = None if isinstance(device_or_states, torch.device) else device_or_states
        if vllm_config.additional_config.get(WARM_UP):
            rows = vllm_config.scheduler_config.max_num_seqs
            vocab = vllm_config.model_config.get_vocab_size()
            warm_up(rows, vocab, torch.device(vllm_config.device_config.device_type))

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        _Request.parse(sampling_params)

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1: keeps each row's request, with the engine's own running list of its tokens."""

        def new_state(params: SamplingParams, _: Any, tokens: list[int]) -> Any:
            request = _Request.parse(params)
            return None if request is None else (request, tokens)

        process_dict_updates(self._requests, batch_update, new_state)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """V2: slots are recycled, so a request without EDT clears what stood there."""
        request = _Request.parse(sampling_params)
        self._requests.pop(req_idx, None)
        if request is not None:
            self._requests[req_idx] = (request, None)
        return request is not None

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        if not self._requests:
            return logits
        if ctx is None:  # V1: a row is a batch index
            rows = list(self._requests)
            requests = [request for request, _ in self._requests.values()]
            positions = torch.tensor([len(tokens) for _, tokens in self._requests.values()])
        else:  # V2: a row is a slot, in an order of this step's own
            slots = ctx.expanded_idx_mapping.tolist()
            rows = [row for row, slot in enumerate(slots) if slot in self._requests]
            requests = [self._requests[slots[row]][0] for row in rows]
            assert self._states is not None
            prompt_len = self._states.prompt_len.gpu[ctx.expanded_idx_mapping]
            positions = (ctx.pos + 1 - prompt_len)[rows].cpu()
        kinds: dict[_Change, list[int]] = {}
        for place, request in enumerate(requests):
            kinds.setdefault(request.change, []).append(place)
        for change, places in kinds.items():
            index = torch.tensor([rows[i] for i in places], device=logits.device)
            change(logits, index, [requests[i] for i in places], positions[places].long())
        return logits


# Each rewrites rows `index` of logits [batch, vocab] in place; positions [rows] on the host.
_Change = Callable[[torch.Tensor, torch.Tensor, Sequence[_Request], torch.Tensor], None]


def _draw(
    logits: torch.Tensor, index: torch.Tensor, requests: Sequence[_Request], positions: torch.Tensor
) -> None:
    """Leaves the engine's argmax only the token that is drawn here."""
    of = spread(logits, index)
    keys = torch.tensor([request.key for request in requests], dtype=torch.int64)
    u = uniforms(keys, positions).to(logits.device)
    tokens = inverse_cdf(logits, index, of.top, _temperature(of, requests), u)
    logits[index, tokens] = torch.finfo(logits.dtype).max


def _scale(
    logits: torch.Tensor, index: torch.Tensor, requests: Sequence[_Request], positions: torch.Tensor
) -> None:
    """Divides by the temperature; the engine draws."""
    temperature = _temperature(spread(logits, index), requests)
    logits[index] = logits[index] / temperature.clamp_min(1e-5)[:, None]


def _normalize(
    logits: torch.Tensor, index: torch.Tensor, requests: Sequence[_Request], positions: torch.Tensor
) -> None:
    """Makes log-probabilities of logits."""
    logits[index] = logits[index].log_softmax(-1)


def _temperature(of: Spread, requests: Sequence[_Request]) -> torch.Tensor:
    def column(name: str) -> torch.Tensor:
        return torch.tensor([getattr(one, name) for one in requests], device=of.top.device)

    t0, base, theta = column("t0"), column("base"), column("theta")
    temperature = edt_temperature(of, t0, base, theta)
    if any(request.paper_code for request in requests):
        compat = edt_temperature(of, t0, base, theta, paper_code=True)
        temperature = torch.where(column("paper_code"), compat, temperature)
    return temperature
