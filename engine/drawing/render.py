"""DOT drawn by Graphviz, as SVG or PNG bytes. The only door to the graphviz package.

graphviz.pipe() waits for ever and gives no way to change that, so the package's two halves are called: the one that
builds the command, and the one that runs it, which hands a time-out on to subprocess.run().
"""

from __future__ import annotations

import html
import re
import subprocess
from typing import Final

from ..errors import StewardError
from .diagram import digest
from .palette import ROOT, STYLE

DOT_BYTES_MAX: Final = 1024 * 1024  # forty states take about 60 kB
IMAGE_BYTES_MAX: Final = 32 * 1024 * 1024
RENDER_S: Final = 20.0  # forty states take half a second
PNG_DPI: Final = 144  # sharp on a screen that doubles its pixels
PNG_INCHES_MAX: Final = 50  # a larger drawing is scaled down: a bitmap takes 4 bytes a pixel while it is made
ERROR_CHARS_MAX: Final = 300
ARROWS: Final = re.compile(r'(<g id="[^"]*" class="(edge[^"]*)">)(.*?)</g>', re.DOTALL)
TEXTS: Final = re.compile(r"<text.*?</text>\n?", re.DOTALL)
INSTALL: Final = "install it (Debian and Ubuntu: apt-get install graphviz; macOS: brew install graphviz)"


class RenderError(StewardError):
    """The drawing could not be made: too large, too slow, or Graphviz refused it."""


class NoGraphvizError(RenderError):
    """Graphviz's `dot` is not installed, or not where it is looked for."""


def svg(source: str) -> bytes:
    """An <svg> element, to stand alone or within a page: no prolog, nothing loaded from outside, light and dark."""
    drawn = _run(source, "svg").decode("utf-8")
    start = drawn.index("<svg")
    # The comments name the release of Graphviz, which would be the only difference between two of them.
    # Some releases write a hyphen as an entity, for the sake of comments.
    body = re.sub(r"<!--.*?-->\n?", "", drawn[start:], flags=re.DOTALL).replace("&#45;", "-")
    title = re.search(r"<title>(.*?)</title>", body, re.DOTALL)
    name = html.escape(html.unescape(title[1])) if title else "diagram"
    head = f'<svg class="{ROOT}" role="img" aria-label="{name}" data-source="{digest(source)}"'
    tag, inside = body[len("<svg") :].split(">", 1)
    return f"{head}{tag}>\n<style>{STYLE}</style>{_words_last(inside)}".encode()


def _words_last(body: str) -> str:
    """The words of all arrows after all lines, in groups with their arrows' classes.

    Graphviz writes arrow by arrow, so that a later one would strike an earlier one's words through.
    """
    words: list[str] = []

    def line(arrow: re.Match[str]) -> str:
        start, inside = arrow[1], arrow[3]
        if texts := "".join(TEXTS.findall(inside)):
            words.append(f'<g class="{arrow[2]} words">\n{texts}</g>\n')
        return f"{start}{TEXTS.sub('', inside)}</g>"

    lines = ARROWS.sub(line, body)
    graph_end = lines.rindex("</g>")
    return lines[:graph_end] + "".join(words) + lines[graph_end:]


def png(source: str) -> bytes:
    """White paper, whatever the reader's theme: a bitmap cannot know it."""
    return _run(source, "png", f"-Gdpi={PNG_DPI}", f"-Gsize={PNG_INCHES_MAX},{PNG_INCHES_MAX}")


def _run(source: str, form: str, *options: str) -> bytes:
    """Raises NoGraphvizError or RenderError."""
    # A server, and most commands, never draw.
    from graphviz.backend.dot_command import command  # type: ignore[import-untyped]
    from graphviz.backend.execute import (  # type: ignore[import-untyped]
        CalledProcessError,
        ExecutableNotFound,
        run_check,
    )

    text = source.encode()
    if len(text) > DOT_BYTES_MAX:
        raise RenderError(f"the drawing has {len(text)} bytes as DOT; at most {DOT_BYTES_MAX} are laid out")
    try:
        done = run_check(
            [*command("dot", form), *options], input=text, capture_output=True, quiet=True, timeout=RENDER_S
        )
    except (ExecutableNotFound, PermissionError):
        raise NoGraphvizError(f"Graphviz's `dot` is not on the PATH; {INSTALL}") from None
    except subprocess.TimeoutExpired:
        raise RenderError(f"Graphviz took more than {RENDER_S:g} s; the DOT text can be had all the same") from None
    except CalledProcessError as error:
        said = " ".join(error.stderr.decode(errors="replace").split())[:ERROR_CHARS_MAX]
        raise RenderError(f"Graphviz refused the drawing: {said or f'exit code {error.returncode}'}") from None
    image: bytes = done.stdout
    if len(image) > IMAGE_BYTES_MAX:
        raise RenderError(f"the image has {len(image)} bytes; at most {IMAGE_BYTES_MAX} are given out")
    return image
