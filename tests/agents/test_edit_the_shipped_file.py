"""Editing only lifecycle.yaml changes behaviour: four edits of the shipped file, real agents, no code touched."""

from __future__ import annotations

from pathlib import Path

from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time
from examples.chess import TEAM
from server.config import HANDLER_MODULES

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "lifecycle.yaml").read_text()
GREETING = (
    "      greeting: {after: {3s: active}, defer: [say], transitions: {last_connection_lost: [], restored: []}}\n"
)
CREATE = {"team": "chess", "options": {"plies": 2, "white": "human"}}
NOBODY_IS_WAITED_FOR = "{not: {somewhere: {kind: agent, states: [awaiting_input]}}}"


def edited(workspaces: Path, *edits: tuple[str, str]) -> Rig:
    text = TEXT
    for old, new in edits:
        assert text.count(old) == 1, f"{text.count(old)} times in the file: {old}"
        text = text.replace(old, new)
    return Rig(machines(text, *HANDLER_MODULES), services={"teams": {"chess": TEAM}, "workspace_root": workspaces})


@in_virtual_time
async def test_another_window(tmp_path: Path) -> None:
    """Nobody comes back within seven seconds instead of thirty."""
    async with edited(
        tmp_path,
        (
            f"30s: {{when: {NOBODY_IS_WAITED_FOR}, to: terminating, option: {{window: 10m}}}}",
            "7s: terminating",
        ),
    ) as r:
        session = await r.create(data=CREATE, is_connected=False)
        assert session.window_s == 7
        await r.advance(6.9)
        assert session.state == "reconnecting"
        await r.advance(0.2)
        assert session.state == "terminated"


@in_virtual_time
async def test_an_extra_state_between_two_others(tmp_path: Path) -> None:
    """A session that greets for three seconds between its creation and its work."""
    async with edited(
        tmp_path,
        ("done: active, restored: terminating}", "done: greeting, restored: terminating}"),
        (
            "      active:\n        description: Somebody is connected",
            GREETING + "      active:\n        description: Somebody is connected",
        ),
    ) as r:
        session = await r.create(data=CREATE)
        assert session.state == "greeting"
        await r.advance(3.1)
        assert session.state == "active"


@in_virtual_time
async def test_another_order_of_the_clean_up(tmp_path: Path) -> None:
    """The workspace is let go of before the teams."""
    entry = "      - {release: workspace, do: close_workspace, timeout: 3s, force: remove_workspace}\n"
    children = "      - children # orchestrators, each with its agents and its runtime\n"
    async with edited(tmp_path, (children, ""), (entry, entry + children)) as r:
        session = await r.create(data=CREATE)
        await r.send(session, "terminate")
        await r.advance(5)
        assert session.report is not None
        assert [item["kind"] for item in session.report["items"]] == ["workspace", "children"]


@in_virtual_time
async def test_a_new_guard_with_arguments(tmp_path: Path) -> None:
    """Only a coach may interrupt the work now."""
    async with edited(
        tmp_path,
        (
            "      interrupt: {do: interrupt_work}\n",
            "      interrupt: {when: {sender_has_role: {role: coach}}, do: interrupt_work}\n",
        ),
    ) as r:
        session = await r.create(data=CREATE)
        refused = await r.send(session, "interrupt", {})
        assert (refused.status, refused.code) == ("refused", "guard")
        assert (await r.send(session, "interrupt", {}, roles=frozenset({"coach"}))).status == "done"
