"""A response's text while its tokens come: piece by piece, and where a stop string ends it."""

import re
from collections.abc import Callable, Sequence

from tokenizers.decoders import DecodeStream

from pipelines.method.prompts import Prompts

_BYTE = re.compile("<0x[0-9A-F]{2}>")  # a token of SentencePiece's byte fallback


class TextStream:
    """What `Prompts.response_text` makes of all tokens, told in pieces that no later token changes.

    Held back is what may yet turn out to be no text of the response, or other text: the beginning
    of the confidence turn, of a stop string, or of a character.
    """

    def __init__(
        self,
        prompts: Prompts,
        stop: Sequence[str] = (),
        heard: Callable[[str], None] | None = None,
    ):
        self._prompts, self._stop, self._heard = prompts, stop, heard
        self._stream = DecodeStream(skip_special_tokens=False)
        self._turn: list[int] = []  # tokens that the turn begins with, too
        self._bytes: list[int] = []  # byte tokens: the next one may make other text of them
        self._may_stop = ""
        self._told: list[str] = []
        self._tell(prompts.thought)  # of the prompt: a stop string is looked for after it

    @property
    def text(self) -> str:
        """All that was told."""
        return "".join(self._told)

    def add(self, token: int) -> bool:
        """Takes the next token that was sampled; returns whether a stop string ends it there."""
        if token in self._prompts.end_ids:
            return False
        self._turn.append(token)
        while self._turn and self._turn != self._prompts.turn_ids[: len(self._turn)]:
            if self._decode(self._turn.pop(0)):
                return True
        return False

    def close(self, ids: Sequence[int]) -> bool:
        """Tells the rest of a response that ended; returns the same.

        ids: all of it, as `Prompts.response_ids` leaves them.
        """
        whole, told = self._prompts.response_text(ids), self.text
        assert whole.startswith(told), "a piece of text was told that the response does not have"
        self._may_stop = ""
        if self._look(whole[len(told) :]):
            return True
        self._tell(self._may_stop)
        return False

    def kept(self, sampled: Sequence[int]) -> list[int]:
        """The fewest of the sampled ids whose text has all that was told before the stop string."""
        told, count = self.text, len(sampled)
        while count and self._prompts.response_text(sampled[: count - 1]).startswith(told):
            count -= 1
        return self._prompts.response_ids(sampled[:count])

    def _decode(self, token: int) -> bool:
        tokenizer = self._prompts.tokenizer
        named = tokenizer.convert_ids_to_tokens(token)
        if named is None or self._prompts.is_hidden(token):  # a model may have ids without a token
            return False
        self._bytes.append(token)
        if _BYTE.fullmatch(named):
            return False
        piece = self._stream.step(tokenizer.backend_tokenizer, self._bytes)
        self._bytes = []
        return piece is not None and self._look(piece)

    def _look(self, piece: str) -> bool:
        """Tells what no stop string may begin in; of one that is there, what comes before it."""
        text = self._may_stop + piece
        places = [(text.find(one) + len(one), text.find(one)) for one in self._stop if one in text]
        if places:
            _, start = min(places)
            self._tell(text[:start])
            return True
        ends = ((one, min(len(one), len(text) + 1)) for one in self._stop)
        begun = (n for one, end in ends for n in range(end) if text.endswith(one[:n]))
        held = max(begun, default=0)
        self._may_stop = text[len(text) - held :]
        self._tell(text[: len(text) - held])
        return False

    def _tell(self, piece: str) -> None:
        if piece:
            self._told.append(piece)
            if self._heard:
                self._heard(piece)
