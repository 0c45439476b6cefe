"""How many fields an object of a request has at most.

Requests are read on the loop that all of them go through, so none may take it seconds. Lists and
texts have limits where they stand, and a list's first fault is told alone (fail_fast).
"""

from typing import Any

from pydantic import BaseModel, model_validator

_FIELDS = 100


class Bounded(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _few(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and len(raw) > _FIELDS:
            raise ValueError(f"expected {_FIELDS} fields at most, not {len(raw)}")
        return raw
