"""The operators' listener, apart from the clients': its port can be closed to everybody else. Serves the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from .auth import ADMIN, Credentials, Gate, bearer
from .codes import Fault
from .config import Settings
from .problems import headers, shell

if TYPE_CHECKING:
    from .metrics import Metrics


class Operators:
    """The handlers of its routes. Whoever reaches a listener on this machine may read the metrics, which name nobody;
    from other machines an administrator's credentials are needed."""

    def __init__(self, settings: Settings, credentials: Credentials, metrics: Metrics) -> None:
        self._credentials = None if settings.is_admin_loopback else credentials
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self.metrics)]

    async def metrics(self, request: web.Request) -> web.Response:
        await self._check(request)
        return web.Response(body=self._metrics.text(), headers={"Content-Type": self._metrics.content_type})

    async def _check(self, request: web.Request) -> None:
        """Raises Fault."""
        if self._credentials is None:
            return
        caller = await self._credentials.caller(bearer(request.headers))
        if caller is None:
            raise Fault("no_valid_token")
        if ADMIN not in caller.roles:
            raise Fault("forbidden", f"this takes the role {ADMIN}")


def operators_app(settings: Settings, credentials: Credentials, metrics: Metrics) -> web.Application:
    """The listener's application; it owns nothing that has to be closed."""
    gate = Gate(settings)
    app = web.Application(middlewares=[shell(gate)])
    app.on_response_prepare.append(headers(gate))
    app.add_routes(Operators(settings, credentials, metrics).routes())
    return app
