"""What is said of a request that is not answered, in the shape that OpenAI's clients read."""

import re
import sys
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from pipelines.config.reading import problems_of
from pipelines.storage.text import short

_NO_RETRY = {"x-should-retry": "false"}  # OpenAI's client would, after 408 and 409
_MESSAGES = {
    "extra_forbidden": "there is no such field",
    "model_attributes_type": "expected a JSON object",
    "too_long": "expected a length of {max_length} at most",
    "string_too_long": "expected a length of {max_length} at most",
}
_FIELD = re.compile(r"([a-z_.]+): (.+)", re.DOTALL)  # what a validator says of a field


class RequestError(Exception):
    """status: of HTTP. param: the field that is at fault. code: one word for programs.
    retry_after: seconds after which it may go better."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str = "invalid",
        retry_after: int | None = None,
    ):
        super().__init__(status, message, param, code, retry_after)  # by which it is copied
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class Error(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """The body of what is not answered."""

    error: Error


def body(
    status: int, message: str, param: str | None = None, code: str = "invalid"
) -> dict[str, Any]:
    """The same as JSON. Halves of characters, which cannot be sent, are written out."""
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    text = message.encode(errors="backslashreplace").decode()
    return ErrorBody(error=Error(message=text, type=kind, param=param, code=code)).model_dump()


def late(completion: BaseModel) -> JSONResponse:
    """408, with the answer so far."""
    error = body(408, "the deadline came first; this is the answer so far", code="deadline")
    return JSONResponse(completion.model_dump(mode="json") | error, 408, _NO_RETRY)


def of_refusal(refusal: RequestError) -> dict[str, Any]:
    return body(refusal.status, str(refusal), refusal.param, refusal.code)


def of_failure() -> dict[str, Any]:
    """Of any other exception, which the log tells."""
    return body(500, "the server failed; its log says why", code="internal_error")


async def refused(_: Any, refusal: Any) -> JSONResponse:
    """To a RequestError."""
    headers = _NO_RETRY
    if refusal.retry_after is not None:
        headers = {"retry-after": str(refusal.retry_after)}
    elif refusal.status == 401:
        headers = {"www-authenticate": "Bearer"}
    return JSONResponse(of_refusal(refusal), refusal.status, headers)


async def malformed(request: Any, found: Any) -> JSONResponse:
    """To a RequestValidationError: one fault. FastAPI's own response would hold the request again,
    of which not all can be sent."""
    if line := _of_body(request, found):
        return JSONResponse(body(400, line), 400)
    errors = [one | {"loc": one["loc"][1:]} for one in found.errors()]  # without "body"
    place, fault, _ = problems_of(errors, found.body)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error" and (of_field := _FIELD.fullmatch(message)):
        place, message = (*place, of_field[1]), of_field[2]
    if own := _MESSAGES.get(fault["type"]):
        message = own.format(**fault.get("ctx", {}))
    param = ".".join(short(str(part)) for part in place)
    line = f"{param}: {message}" if param else message
    return JSONResponse(body(400, line, param or None), 400)


def _of_body(request: Any, found: Any) -> str | None:
    """What is wrong with a body as a whole; None where it has fields, or should be an object."""
    if isinstance(found.body, bytes):  # so FastAPI leaves what is not said to be JSON
        sent = request.headers.get("content-type")
        was = f"it was {short(sent)}" if sent else "there was none"
        return f"send the header content-type: application/json ({was})"
    if found.body is None:
        return "the body holds nothing; send a JSON object"
    first = found.errors()[0]
    if first["type"] == "json_invalid":
        return f"the body is not JSON: {first['ctx']['error']}, at character {first['loc'][-1]}"
    return None


async def unread(_: Any, found: Any) -> JSONResponse:
    """To what is refused before it is read: no such path, no such method there, a body that cannot
    be parsed, is too long or too slow."""
    status = found.status_code
    code = {404: "not_found", 408: "too_slow", 413: "too_long"}.get(status, "invalid")
    headers = _NO_RETRY if status == 408 else found.headers
    line = _of_parser(found.__cause__) or str(found.detail)
    return JSONResponse(body(status, line, code=code), status, headers)


def _of_parser(error: BaseException | None) -> str | None:
    """What Python's JSON does not take though it may be JSON, or is none in a way of its own."""
    match error:
        case UnicodeDecodeError():
            byte = error.object[error.start]
            return f"the body is not UTF-8: byte 0x{byte:02x}, after {error.start} others"
        case RecursionError():
            return "the body is nested too deeply"
        case ValueError():  # of int()
            return f"the body has a number of over {sys.get_int_max_str_digits()} digits"
    return None


async def failed(_: Any, __: Any) -> JSONResponse:
    return JSONResponse(of_failure(), 500)
