"""The shipped server as a process of its own, and a real Chromium that looks at its page.

Every page is watched from its first request to its last: nothing may leave the server's own origin, nothing may break
the page's policy, and no script may fail.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
REQUIRED = "BROWSER_TESTS"  # set to `required` where a missing browser is a failure
STOP_S = 20.0
WAIT_MS = 20_000  # above every time-out that a story here waits for
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WATCH_POLICY = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
expect.set_options(timeout=WAIT_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The stories of one file share a Chromium, and so its event loop; each has a profile of its own."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@dataclass
class Served:
    url: str
    key: str

    @property
    def entry(self) -> str:
        return f"{self.url}/#key={self.key}"


@dataclass
class Visitor:
    """One person with a browser of their own. faults: what no page may do."""

    served: Served
    context: BrowserContext
    faults: list[str] = field(default_factory=list)

    async def page(self, url: str | None = None) -> Page:
        """A tab, when its machines are drawn."""
        page = await self.context.new_page()
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url.replace("ws", "http", 1)))
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("console", lambda message: message.type == "error" and self.faults.append(f"console: {message.text}"))
        await page.add_init_script(WATCH_POLICY)
        await page.goto(url or self.served.entry)
        await expect(page.locator("html[data-ready=true]")).to_be_attached()
        return page

    def _asked(self, url: str) -> None:
        if not url.startswith("data:") and urlsplit(url).netloc != urlsplit(self.served.url).netloc:
            self.faults.append(f"request to elsewhere: {url}")


def browser_path() -> str:
    """Skips without a browser, unless one is required."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        text = "no Chromium is installed: sh .ci/chromium"
        pytest.fail(text) if os.environ.get(REQUIRED) == "required" else pytest.skip(text)
    return found


def serve(data: Path, *flags: str) -> Generator[Served, None, None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "serve", "--port", "0", "--data", str(data), *flags],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            line = process.stdout.readline()
            url, _, key = line.split()[-1].partition("/#key=")
            yield Served(url, key)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(STOP_S)
    assert code == 0


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server where things may be broken."""
    browser_path()
    yield from serve(tmp_path_factory.mktemp("breaking"), "--allow-breaking")


@pytest.fixture(scope="session")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server as it starts when nobody says otherwise."""
    browser_path()
    yield from serve(tmp_path_factory.mktemp("careful"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser: Browser, served: Served) -> AsyncIterator[Visitor]:
    context = await browser.new_context(viewport={"width": 1440, "height": 1000})
    visitor = Visitor(served, context)
    yield visitor
    await context.close()
    assert visitor.faults == []
