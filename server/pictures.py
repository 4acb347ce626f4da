"""Pictures of this server's machines over HTTP, drawn when they are asked for and kept."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from engine.drawing.diagram import names, states, text
from engine.drawing.palette import CHOSEN, STYLE
from engine.drawing.render import NoGraphvizError, RenderError, svg
from engine.spec import Spec

from .codes import Fault
from .frames import Frame, explain
from .problems import problem

AT_ONCE_MAX: Final = 1  # drawn; a picture is a processor and a place in the pool of threads that clean-ups need too
KEPT_MAX: Final = 64  # pictures, each some 50 kB; the machines of a file and their states are usually fewer
# The picture's own style sheet may apply, by its hash, and nothing else may be loaded or run.
POLICY: Final = (
    "default-src 'none'; frame-ancestors 'self'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
CACHE: Final = "no-cache"  # ask each time; the ETag makes the answer short
AS_TEXT: Final = "GET /v1/lifecycle/diagram.dot has the same picture as text, to be laid out elsewhere"


class PictureQuery(Frame):
    machine: str | None = None
    highlight: str | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    body: bytes
    etag: str


class Pictures:
    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._places = asyncio.Semaphore(AT_ONCE_MAX)
        self._drawing: dict[tuple[str, str | None], asyncio.Task[Drawn]] = {}  # the longest unused first

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/lifecycle/diagram.svg", self.svg),
            web.get("/v1/lifecycle/diagram.dot", self.dot),
            web.get("/v1/lifecycle/diagram.css", self.css),
        ]

    async def svg(self, request: web.Request) -> web.Response:
        name, highlight = self._wanted(request)
        try:
            drawn = await self._draw(name, highlight)
        except NoGraphvizError as error:
            return problem(503, "no_graphviz", "this server has no Graphviz to draw with", f"{error}; {AS_TEXT}")
        except RenderError as error:
            return problem(503, "not_drawn", "the picture could not be drawn", f"{error}; {AS_TEXT}")
        return _answer(request, drawn, "image/svg+xml")

    async def dot(self, request: web.Request) -> web.Response:
        """The same picture, to be laid out by whoever asks."""
        name, highlight = self._wanted(request)
        return web.Response(text=text(self._spec, name, "dot", highlight), content_type="text/vnd.graphviz")

    async def css(self, request: web.Request) -> web.Response:
        """For a page that lays the DOT out itself, or whose policy takes no style sheet from within a picture."""
        return _answer(request, _drawn(f"{STYLE}\n{CHOSEN}\n".encode()), "text/css")

    def _wanted(self, request: web.Request) -> tuple[str, str | None]:
        """(picture, state). Raises Fault."""
        try:
            query = PictureQuery.model_validate(dict(request.query))
        except ValidationError as error:
            raise Fault("bad_frame", explain(error)) from None
        name, known = query.machine or self._spec.roots[0], names(self._spec)
        if name not in known:
            raise Fault("bad_frame", f"machine: there is no {name!r}; there is: {', '.join(known)}")
        if query.highlight is not None and query.highlight not in (those := states(self._spec, name)):
            raise Fault("bad_frame", f"highlight: {name} has no {query.highlight!r}; it has: {', '.join(those)}")
        return name, query.highlight

    async def _draw(self, name: str, highlight: str | None) -> Drawn:
        """One drawing for all who ask for the same, which goes on when one of them leaves: the next will ask again."""
        key = (name, highlight)
        task = self._drawing.pop(key, None)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self._drawn(name, highlight), name=f"picture of {name}")
        self._drawing[key] = task
        self._forget_oldest()
        return await asyncio.shield(task)

    def _forget_oldest(self) -> None:
        """Never one that is being drawn: a task that nobody holds may be lost before its end."""
        excess = max(0, len(self._drawing) - KEPT_MAX)
        for key in [key for key, task in self._drawing.items() if task.done()][:excess]:
            del self._drawing[key]

    async def _drawn(self, name: str, highlight: str | None) -> Drawn:
        """In a thread: laying out takes up to seconds. It ends by itself, at the latest at its time-out."""
        async with self._places:
            return _drawn(await asyncio.to_thread(svg, text(self._spec, name, "dot", highlight)))


def _drawn(body: bytes) -> Drawn:
    return Drawn(body, hashlib.sha256(body).hexdigest()[:32])


def _answer(request: web.Request, drawn: Drawn, content_type: str) -> web.Response:
    headers = {"ETag": f'"{drawn.etag}"', "Cache-Control": CACHE, "Content-Security-Policy": POLICY}
    if any(etag.value in (drawn.etag, "*") for etag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=drawn.body, content_type=content_type, headers=headers)
