"""What passes between the ingress and a replica, in both directions."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from pipelines.method.prompts import Prompts
from pipelines.serving.events import Event
from pipelines.serving.reply import Outcome
from pipelines.serving.scaling import Plan


class Prompt(Protocol):
    """param: the request's field that has it. size: characters of its text, or ids."""

    param: ClassVar[str]

    @property
    def size(self) -> int: ...

    def ids(self, prompts: Prompts) -> list[int]:
        """RequestError where the model does not take it."""
        ...


@dataclass(frozen=True)
class Asked:
    """A request as it is handed to a replica, and to the next where that one dies.

    model: without a preset. named_length: whether the request says how long a sample may be.
    ignored: its fields. details: tell every sample that was used. came: seconds of Unix time.
    """

    model: str
    plan: Plan
    prompt: Prompt
    named_length: bool
    ignored: list[str]
    details: bool
    came: float


# What happens, and last the outcome.
Told = list[Event] | Outcome
