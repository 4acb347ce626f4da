"""The playground: its page and files, and what it asks about the teams of this server.

The files are read once, at the start: a request names one of them or nothing, so no path leads out of the folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from .problems import json, problem

FOLDER: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"
VENDORED: Final = "vendor/"  # folders there have a version in their names, so their files never change
KEPT_S: Final = 365 * 24 * 3600
# wasm-unsafe-eval lets Graphviz be compiled from the bytes in its own vendored file, and nothing else be evaluated.
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".md": "text/markdown",
    ".txt": "text/plain",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    body: bytes
    type: str
    etag: str
    cache: str


def read_files(folder: Path) -> dict[str, StaticFile]:
    """Every file of folder that has a type we serve, by its path below it."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in TYPES)
    return {path.relative_to(folder).as_posix(): _read(folder, path) for path in paths}


def _read(folder: Path, path: Path) -> StaticFile:
    body = path.read_bytes()
    is_vendored = path.relative_to(folder).as_posix().startswith(VENDORED)
    cache = f"public, max-age={KEPT_S}, immutable" if is_vendored else "no-cache"
    return StaticFile(body, TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:32], cache)


class Pages:
    """teams: what has a name, a description and a pydantic model of its options."""

    def __init__(self, teams: Mapping[str, Any], *, allow_breaking: bool) -> None:
        self._teams = teams
        self._allow_breaking = allow_breaking
        self._files = read_files(FOLDER)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/static/{name:.*}", self.file),
            web.get("/v1/teams", self.teams),
        ]

    async def index(self, request: web.Request) -> web.Response:
        return self._answer(request, INDEX)

    async def file(self, request: web.Request) -> web.Response:
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        found = self._files.get(name)
        if found is None:
            return problem(404, "not_found", "there is no such file")
        headers = {"ETag": f'"{found.etag}"', "Cache-Control": found.cache, "Content-Security-Policy": POLICY}
        known = request.if_none_match or ()
        if any(etag.value in (found.etag, "*") for etag in known):
            return web.Response(status=304, headers=headers)
        charset = None if found.type.startswith("image/") else "utf-8"
        return web.Response(body=found.body, content_type=found.type, charset=charset, headers=headers)

    async def teams(self, request: web.Request) -> web.Response:
        """What can be created here. options: JSON Schema."""
        offered = {name: team.offered(self._allow_breaking) for name, team in self._teams.items()}
        teams = [
            {"name": name, "description": team.description, "options": offered[name].model_json_schema()}
            for name, team in self._teams.items()
        ]
        return json({"teams": teams, "allow_breaking": self._allow_breaking})
