"""The commands of whoever looks after a running server, against one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server.cli import steward
from tests.server.conftest import KEY, Wire, new_token
from tests.server.wire_handlers import STUCK


async def run(wire: Wire, *args: str, key: str = KEY) -> Result:
    """A command beside the server; it blocks as commands do."""
    words = [*args, "--url", wire.url, "--key", key]
    return await asyncio.to_thread(CliRunner().invoke, steward, words, prog_name="steward")


@pytest.fixture
async def leaking(wire: Wire) -> Any:
    """A session that holds what cannot be let go."""
    peer, welcome = await wire.create()
    await peer.cmd(1, "leak")
    await peer.res(1)
    yield welcome["sid"]
    STUCK.discard(welcome["sid"])


async def test_end_says_what_became_of_everything(wire: Wire) -> None:
    """Twice gives the same twice."""
    _, welcome = await wire.create()
    for _ in range(2):
        done = await run(wire, "end", welcome["sid"], "--reason", "enough")
        assert (done.exit_code, done.output) == (
            0,
            f"{welcome['sid']} has ended in terminated; clean-up: nothing was held\n",
        )


async def test_what_leaked_is_named_and_tried_again(wire: Wire, leaking: str) -> None:
    """Quarantine waits for a person; these are the person's commands."""
    ended = await run(wire, "end", leaking)
    assert ended.exit_code == 1
    assert f"{leaking} is in error; clean-up: 1 leaked" in ended.output
    assert "leaked: stone a stone" in ended.output
    assert f"steward retry {leaking}" in ended.output
    assert (await run(wire, "retry", leaking)).exit_code == 1
    STUCK.discard(leaking)
    done = await run(wire, "retry", leaking)
    assert (done.exit_code, "has ended in terminated" in done.output) == (0, True), done.output


async def test_what_the_file_does_not_offer_is_said(wire: Wire, leaking: str) -> None:
    """This lifecycle file has no write_off."""
    await run(wire, "end", leaking)
    done = await run(wire, "write-off", leaking, "--reason", "gone")
    assert done.exit_code == 1
    assert "(404)" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("command", ["log", "end", "retry"])
async def test_no_such_session_and_a_wrong_key_are_told_apart_as_far_as_they_may_be(wire: Wire, command: str) -> None:
    """The operator's key is told; who has no right hears of both."""
    sid = "s." + "a" * 26
    known = await run(wire, command, sid)
    assert (known.exit_code, "no such session" in known.output) == (1, True)
    stranger = await run(wire, command, sid, key=new_token())
    assert stranger.exit_code == 1
    assert "does not take this key, or there is no such session" in stranger.output
    assert "--data" in stranger.output
