"""Where a server listens: the sockets, their addresses, and the file that tells the other commands of them."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import StewardError

BACKLOG: Final = 1024  # connections the kernel holds before they are accepted


class StartError(StewardError):
    """The operator's: this server cannot start, and what would help."""


def listening_socket(host: str, port: int, prefix: str = "") -> socket.socket:
    """Bound, not listening yet. prefix: of the settings that say where. Raises StartError for a port in use, an unknown
    address or a forbidden port."""
    name = host.strip("[]")
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartError(
            f"the host {host} has no address: {error.strerror}; choose another with --{prefix}host"
        ) from None
    family, kind, number, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    listener = socket.socket(family, kind, number)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}; "
            f"choose another with --{prefix}port, or --{prefix}port 0 for any free one"
        ) from None
    return listener


def tell_address(file: Path, url: str) -> None:
    file.write_text(json.dumps({"url": url, "pid": os.getpid()}))


def forget_address(file: Path) -> None:
    """Remove what this process wrote there; a second server that was refused here leaves the first one's alone."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(file.read_text())["pid"] == os.getpid():
            file.unlink()


def url_of(host: str, listener: socket.socket) -> str:
    """What to type into a browser on this machine."""
    port = listener.getsockname()[1]
    name = host.strip("[]")
    if name in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        name = "127.0.0.1"
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
