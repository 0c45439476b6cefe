"""What a request's objects have at most. Its body is read on the loop that all requests go through, so
none may take it seconds: lists have their own limits (max_length, fail_fast) where they stand."""

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
