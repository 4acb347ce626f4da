"""The composition root: settings in, a running server out. The only place that knows all the parts."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from engine.journal.base import Journal
from engine.journal.files import what_helps
from engine.machine import compile_machines
from engine.registry import Registry
from engine.sessions import SessionManager
from engine.spec import Spec

from . import descriptions
from .auth import Credentials, Gate, key_of
from .checking import sound_spec
from .config import Settings
from .desk import Desk
from .frames import FRAME_BYTES_MAX
from .http import Http
from .leaving import Leaving
from .listening import BACKLOG, StartError, forget_address, listening_socket, tell_address, url_of
from .loading import load_handlers, load_teams
from .operators import operators_app
from .pages import Pages
from .pictures import Pictures
from .pool import Pool
from .privacy import make_private
from .problems import headers, shell
from .stopping import Stopper
from .transfers import Transfers

if TYPE_CHECKING:
    from .metrics import Metrics

HANDLERS_S: Final = 2.0  # for HTTP requests under way when the server leaves
WORKSPACES: Final = "workspaces"  # in the data directory
log = logging.getLogger("steward.app")


@dataclass(slots=True)
class Parts:
    """What one server is made of."""

    settings: Settings
    spec: Spec
    manager: SessionManager
    desk: Desk
    pool: Pool
    http: Http
    transfers: Transfers
    leaving: Leaving
    operators: web.Application | None  # on a listener of its own
    operators_url: str | None = None  # while it listens


@dataclass(frozen=True, slots=True)
class Served:
    """Where a server is to be found. key: what opens it, if that is this server's own."""

    url: str
    key: str | None
    operators_url: str | None


PARTS: Final = web.AppKey("parts", Parts)


def ready_data(settings: Settings) -> None:
    """The data directory, readable by this user only. Raises StartError saying what would help."""
    try:
        why_not = make_private(settings.data) or make_private(settings.data / WORKSPACES, is_ours=True)
        probe = settings.data / f".writable.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        why = "there is a file of that name" if isinstance(error, FileExistsError) else error.strerror
        advice = what_helps(error, "choose another with --data")
        raise StartError(f"the data directory {settings.data} cannot be written: {why}; {advice}") from None
    if why_not is not None:
        raise StartError(f"the data directory {settings.data} cannot be used: {why_not}, or choose another with --data")
    if settings.key_file.exists() and settings.log_file.exists() and not settings.log_file.stat().st_size:
        text = "%s is empty, though a server was here before: unless a backup takes its place, no session is left"
        log.warning(text, settings.log_file)


def build(
    settings: Settings,
    spec: Spec,
    registry: Registry,
    journal: Journal,
    *,
    key: str | None = None,
    services: dict[str, Any] | None = None,
    insisted: Callable[[], Awaitable[Any]] | None = None,
) -> web.Application:
    """The whole server as an aiohttp application; nothing runs until it is started.

    insisted: waits for the signal that ends the grace.
    """
    metrics = None if settings.admin_port is None else _metrics()
    manager = SessionManager(
        compile_machines(spec, registry),
        journal,
        services=services or {},
        idle_memory_s=settings.idle_memory_s or None,
        log_limits=settings.log_limits,
        observer=metrics,
    )
    credentials = Credentials(settings, key)
    # Each connection that was let in may say hello: refused here, it would only dial once more.
    desk = Desk(manager, credentials, settings.unwelcomed_max)
    pool = Pool(
        unwelcomed_max=settings.unwelcomed_max,
        unwelcomed_per_address_max=settings.unwelcomed_per_address_max,
        control_max=settings.control_max,
        observe_max=settings.observe_max,
    )
    operators = None
    if metrics is not None:
        metrics.follow(manager, pool)
        operators = operators_app(settings, credentials, metrics)
    http = Http(desk, pool, spec, settings.timing)
    transfers = Transfers(desk, settings.timing)
    gate = Gate(settings)
    app = web.Application(middlewares=[shell(gate)], client_max_size=FRAME_BYTES_MAX)
    leaving = Leaving(desk, pool, settings.grace_s, insisted or asyncio.Event().wait)
    app[PARTS] = Parts(settings, spec, manager, desk, pool, http, transfers, leaving, operators)
    app.on_response_prepare.append(headers(gate))
    app.add_routes(http.routes())
    app.add_routes(transfers.routes())
    app.add_routes(Pages((services or {}).get("teams", {}), allow_breaking=settings.allow_breaking).routes())
    app.add_routes(Pictures(spec).routes())
    app.add_routes(descriptions.routes())
    app.cleanup_ctx.append(_operators)
    app.cleanup_ctx.append(_sessions)
    app.cleanup_ctx.append(_sweep)
    app.on_shutdown.append(_leave)
    return app


def _metrics() -> Metrics:
    from .metrics import Metrics  # its library is for those who read them

    return Metrics()


async def _sessions(app: web.Application) -> AsyncIterator[None]:
    """The manager runs as long as the server."""
    parts = app[PARTS]
    try:
        await parts.manager.start()
    except BaseException:
        # A start that fails or is cut by a signal is never followed by the exit of this context.
        await parts.manager.shutdown(0)
        raise
    parts.http.is_ready = parts.leaving.is_up = True
    yield
    await parts.leaving.run()


async def _operators(app: web.Application) -> AsyncIterator[None]:
    """Their listener is there before the first session, and until the last has gone."""
    parts = app[PARTS]
    if parts.operators is None:
        yield
        return
    settings = parts.settings
    listener = listening_socket(settings.admin_host, settings.admin_port or 0, "admin-")
    runner = web.AppRunner(parts.operators, access_log=None, shutdown_timeout=HANDLERS_S, handle_signals=False)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        parts.operators_url = url_of(settings.admin_host, listener)
        yield
    finally:
        await runner.cleanup()
        listener.close()


async def _sweep(app: web.Application) -> AsyncIterator[None]:
    sweep = asyncio.create_task(app[PARTS].pool.sweep(time.monotonic), name="connection sweep")
    yield
    sweep.cancel()
    with suppress(asyncio.CancelledError):
        await sweep


async def _leave(app: web.Application) -> None:
    await app[PARTS].leaving.run()


async def stop(runner: web.AppRunner) -> None:
    """Tell everybody, let the sessions go, take nobody new, close what is open.

    Before runner.cleanup(), because that begins by dropping what peers send: their half of the close handshake too.
    """

    async def stop_listening() -> None:
        for site in list(runner.sites):
            await site.stop()

    await runner.app[PARTS].leaving.run(stop_listening)
    await runner.cleanup()


async def serve(settings: Settings, stopper: Stopper, announce: Callable[[Served], None]) -> None:
    """Run until a signal. announce is called once clients are taken.

    Raises StartError, SpecError, RegistryError or JournalError if it cannot start.
    """
    stopper.bind(asyncio.get_running_loop())
    _wait_for_children_without_threads()
    running = asyncio.create_task(_run(settings, stopper, announce), name="server")
    asked = asyncio.create_task(stopper.asked(), name="signal")
    await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not running.done():
        running.cancel()  # start-up, or the wait of a server that runs; both clean up after themselves
    with suppress(asyncio.CancelledError):
        await running


async def _run(settings: Settings, stopper: Stopper, announce: Callable[[Served], None]) -> None:
    from engine.journal.sqlite import SqliteJournal

    registry = load_handlers(settings)
    spec = sound_spec(settings.lifecycle, registry)
    services = {
        "teams": load_teams(settings),
        "workspace_root": settings.data / WORKSPACES,
        "allow_breaking": settings.allow_breaking,
    }
    ready_data(settings)
    listener = listening_socket(settings.host, settings.port)
    try:
        key = None if settings.open or settings.has_users else _key(settings)
        journal = SqliteJournal(settings.log_file)
        app = build(settings, spec, registry, journal, key=key, services=services, insisted=stopper.insisted)
        runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=settings.hello_s, shutdown_timeout=HANDLERS_S, handle_signals=False
        )
        try:
            await runner.setup()
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            url = url_of(settings.host, listener)
            tell_address(settings.address_file, url)
            announce(Served(url, key, app[PARTS].operators_url))
            await asyncio.Event().wait()
        finally:
            forget_address(settings.address_file)
            await stop(runner)
    finally:
        listener.close()


def _wait_for_children_without_threads() -> None:
    """Python 3.11 starts a thread for every child process and waits until it runs, which on a busy machine holds up
    the loop for as long as the watchdog lets a handler; later versions use the kernel's descriptors by themselves."""
    is_asyncios_own = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)  # uvloop takes no watcher
    if is_asyncios_own and sys.version_info < (3, 12) and hasattr(os, "pidfd_open"):
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.set_child_watcher(watcher)


def _key(settings: Settings) -> str:
    try:
        return key_of(settings.key_file)
    except OSError as error:
        advice = what_helps(error, "move away what is there, or choose another directory with --data")
        raise StartError(f"the key file {settings.key_file} cannot be made: {error.strerror}; {advice}") from None
