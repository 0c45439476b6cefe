"""The page at `/`: asks the service that it came from, and shows how a request is decided.

Plain files, which are what the browser runs. Opened from disk, `index.html` has no service, and
plays assets/recorded.js: a real run, recorded by

    python -m pipelines.serving.page.record URL --question QUESTION [--scaling JSON] [--seed N]
"""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

FOLDER = Path(__file__).parent
_ASSETS = {file.name: file for file in (FOLDER / "assets").iterdir()}
_HEADERS = {
    "cache-control": "no-cache",
    # Nothing from elsewhere, and what a model writes is never run.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index(request: Request) -> Response:
    # The page's own addresses are relative to a folder's.
    if not request.scope["path"].endswith("/"):
        return RedirectResponse(f"{request.scope['path']}/")
    return FileResponse(FOLDER / "index.html", headers=_HEADERS)


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    if name not in _ASSETS:
        raise HTTPException(404)
    return FileResponse(_ASSETS[name], headers=_HEADERS)
