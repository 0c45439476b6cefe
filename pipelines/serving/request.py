"""What the service is asked, and what is said of a request that it does not take."""

from typing import Annotated, Any, Literal, Self

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.config.values import Text
from pipelines.datasets.choices import choices_of, of_field, shown
from pipelines.serving import calibration
from pipelines.serving.calibration import Threshold


class Request(BaseModel):
    """What to answer and when to stop. Equal requests with equal seeds draw equal samples."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    question: Text
    kind: Literal["number", "option", "text", "math"] = "text"
    choices: list[Text] | None = None  # of an option, from A on; as the question lists them, else
    policy: str = "early_stopping"
    threshold: Threshold | None = Field(
        None,
        description="of confidence or share, of esc its window; by default the one that the run's "
        "report chose for the policy",
    )
    budget: Annotated[int, Field(ge=1)] = 16
    seed: int | None = None  # the server's own, by default
    model: Text | None = None  # by name; the calibrated one, where it is served, by default
    query_id: Text | None = None  # names the query's draws; the question itself, by default

    @model_validator(mode="after")
    def _known_policy(self) -> Self:
        calibration.check(self.policy, self.threshold)
        return self

    @model_validator(mode="after")
    def _choices_of_an_option(self) -> Self:
        if self.choices is not None and self.kind != "option":
            raise ValueError("choices are of kind option")
        self.asked()
        return self

    def asked(self) -> tuple[str, tuple[str, ...] | None]:
        """The question as the model is asked it, and its choices; as the data sets have them."""
        if self.kind != "option":
            return self.question, None
        choices = (
            choices_of(self.question) if self.choices is None else of_field(self.choices).texts
        )
        return self.question if choices is None else shown(self.question, choices), choices


async def refuse(_: Any, error: Any) -> JSONResponse:
    """To a RequestValidationError: status 422 with one line that names the fields.

    FastAPI's own would hold the request again, of which not all can be sent: NaN, and halves of
    characters.
    """
    lines = []
    for one in error.errors():
        field = ".".join(str(part) for part in one["loc"][1:])  # without "body"
        message = one["msg"].removeprefix("Value error, ")
        lines.append(f"{field}: {message}" if field else message)
    text = "; ".join(lines).encode(errors="backslashreplace").decode()
    return JSONResponse({"detail": text}, 422)
