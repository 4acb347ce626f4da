"""What operators read: counters that follow the log, gauges of what lives, nothing that names anybody."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.auth import new_token
from server.config import ConfigError, load
from server.listening import StartError

from .conftest import KEY, Wire
from .test_monitoring import told

OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
UNITS = ("seconds", "bytes", "total", "info", "ratio")


async def scrape(wire: Wire) -> Callable[..., float | None]:
    """What gives a sample by its name and labels; None: there is none."""
    families = list(text_string_to_metric_families(await read(wire)))
    samples = {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}
    return lambda name, **labels: samples.get((f"steward_{name}", *sorted(labels.items())))


async def labels_of(wire: Wire) -> list[tuple[str, set[str]]]:
    """The labels of every metric of ours that has samples."""
    families = list(text_string_to_metric_families(await read(wire)))
    ours = [(one.name + "_total" * (one.type == "counter"), one.samples) for one in families]
    return [
        (name, {label for sample in samples for label in sample.labels} - {"le"})
        for name, samples in ours
        if name.startswith("steward_")
    ]


async def read(wire: Wire, status: int = 200, **options: Any) -> str:
    async with wire.http.get(f"{wire.parts.operators_url}/metrics", **options) as answer:
        assert answer.status == status
        return await answer.text()


async def test_a_life_is_counted_from_its_creation_to_its_end(serving: Any) -> None:
    wire = await serving(admin_port=0)
    before = await scrape(wire)
    assert before("sessions_created_total") == 0
    peer, welcome = await wire.create()
    live = await scrape(wire)
    assert live("sessions_created_total") == 1
    assert live("sessions", state="active") == 1
    assert live("connections") == 1
    assert live("memory_bytes")
    assert live("resources", resource="tasks") is not None
    assert live("transitions_total", kind="session", from_state="initializing", to_state="active", event="done") == 1
    assert live("journal_commit_seconds_count")
    session = await wire.parts.manager.find(welcome["sid"])
    await peer.cmd(1, "terminate")
    await session.ended
    over = await scrape(wire)
    assert over("sessions_ended_total", cause="closed") == 1
    assert over("session_duration_seconds_count", cause="closed") == 1
    assert over("commands_total", status="done") == 1
    assert over("sessions", state="active") is None
    for name, labels in await labels_of(wire):
        assert labels <= told()[name], name


async def test_a_reconnection_is_timed_from_the_loss(serving: Any) -> None:
    wire = await serving(admin_port=0)
    token = new_token()
    peer, welcome = await wire.create(token)
    await peer.socket.close()
    await wire.wait_state(welcome["sid"], "reconnecting")
    again = await wire.dial()
    await again.hello(token)
    await wire.wait_state(welcome["sid"], "active")
    assert (await scrape(wire))("reconnection_seconds_count") == 1


async def test_a_refused_creation_is_counted_by_its_code(serving: Any) -> None:
    wire = await serving(admin_port=0)
    wire.parts.desk.manager.is_leaving = True
    status, _ = await wire.call("POST", "/v1/sessions", KEY, json={})
    assert status == 503
    assert (await scrape(wire))("sessions_refused_total", code="leaving") == 1


async def test_no_label_names_a_session_or_a_user(serving: Any) -> None:
    """Who may read figures may not thereby know who is there; and a label per session would grow for ever."""
    wire = await serving(admin_port=0)
    _, welcome = await wire.create()
    text = await read(wire)
    assert welcome["sid"] not in text
    assert "local" not in text


async def test_names_are_those_that_prometheus_asks_for(serving: Any) -> None:
    """Base units at the end of what has a unit, `_total` on what only grows, a sentence for each."""
    wire = await serving(admin_port=0)
    families = [one for one in text_string_to_metric_families(await read(wire)) if one.name.startswith("steward_")]
    assert len(families) >= 15
    for family in families:
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        assert not family.name.endswith(("_ms", "_total_total", "_s"))
        if family.type == "histogram":
            assert family.name.endswith(UNITS)
    assert all("sid" not in sample.labels for family in families for sample in family.samples)


async def test_the_page_of_operating_names_every_metric(serving: Any) -> None:
    wire = await serving(admin_port=0)
    families = list(text_string_to_metric_families(await read(wire)))
    served = {one.name + "_total" * (one.type == "counter") for one in families if one.name.startswith("steward_")}
    assert set(re.findall(r"`(steward_\w+)`", OPERATING)) == served


async def test_without_the_port_nothing_listens_and_nothing_is_counted(wire: Wire) -> None:
    assert wire.parts.operators_url is None
    status, _ = await wire.call("GET", "/metrics", KEY)
    assert status == 404


async def test_from_other_machines_it_takes_an_administrator(serving: Any) -> None:
    keys = [
        {"user": user, "sha256": hashlib.sha256(user.encode()).hexdigest(), "roles": roles}
        for user, roles in (("ann", ["admin"]), ("bob", []))
    ]
    wire = await serving(key=None, admin_host="0.0.0.0", admin_port=0, api_keys=keys)
    await read(wire, 401)
    await read(wire, 403, headers={"Authorization": "Bearer bob"})
    assert "steward_sessions" in await read(wire, headers={"Authorization": "Bearer ann"})


async def test_a_foreign_page_is_refused(serving: Any) -> None:
    wire = await serving(admin_port=0)
    await read(wire, 403, headers={"Origin": "https://evil.example"})
    await read(wire, 403, headers={"Host": "evil.example"})


def test_a_listener_for_other_machines_needs_users() -> None:
    with pytest.raises(ConfigError, match=r"admin_host 0\.0\.0\.0 can be reached from other machines"):
        load({"admin_host": "0.0.0.0"})


async def test_a_port_in_use_is_named_with_its_setting(serving: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartError, match="--admin-port"):
            await serving(admin_port=taken.getsockname()[1])
