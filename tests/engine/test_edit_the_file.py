"""Editing only the lifecycle file changes behaviour: the same handlers, no code touched."""

from __future__ import annotations

from pathlib import Path

import small_handlers

from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time

TEXT = (Path(__file__).parent / "files" / "small.yaml").read_text()


def edited(old: str, new: str) -> Rig:
    assert TEXT.count(old) == 1, old
    return Rig(machines(TEXT.replace(old, new), small_handlers))


@in_virtual_time
async def test_another_window() -> None:
    """30 s becomes 5 s, and the session ends after five."""
    async with edited(
        "      reconnecting:\n        after: {30s: terminating}",
        "      reconnecting:\n        after: {5s: terminating}",
    ) as r:
        session = await r.create(is_connected=False)
        assert session.window_s == 5
        await r.advance(4.9)
        assert session.state == "reconnecting"
        await r.advance(0.2)
        assert session.state == "terminated"


@in_virtual_time
async def test_an_extra_state_between_two_others() -> None:
    """A session warms up for two seconds before it is active."""
    async with edited(
        "        transitions: {done: active, restored: terminating}\n",
        "        transitions: {done: warming, restored: terminating}\n"
        "      warming: {after: {2s: active}, defer: [say], transitions: {last_connection_lost: []}}\n",
    ) as r:
        session = await r.create()
        assert session.state == "warming"
        assert (await r.send(session, "say", {"text": "early"})).status == "deferred"
        await r.advance(2.1)
        assert session.state == "active"
        assert session.data["said"] == ["early"]


@in_virtual_time
async def test_another_order_of_the_clean_up() -> None:
    """The thing is let go before the children, because the file now says so."""
    async with edited(
        "      - {release: thing, do: close_thing, timeout: 2s, force: kill_thing}",
        "      - {release: thing, do: close_thing, timeout: 2s, force: kill_thing}\n      - children",
    ) as r:
        session = await r.create()
        await r.send(session, "terminate")
        assert session.report is not None
        assert [item["kind"] for item in session.report["items"]] == ["thing", "children", "children"]


@in_virtual_time
async def test_a_new_guard_with_arguments() -> None:
    """Only a supervisor may say anything now."""
    async with edited(
        "          say: {do: remember}\n          slow",
        "          say: {when: {sender_has_role: {role: supervisor}}, do: remember}\n          slow",
    ) as r:
        session = await r.create()
        assert (await r.send(session, "say", {"text": "x"})).code == "guard"
        assert (await r.send(session, "say", {"text": "x"}, roles=frozenset({"supervisor"}))).status == "done"
        assert session.data["said"] == ["x"]
