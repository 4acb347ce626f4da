"""The support desk as sessions: hand-offs, tools, streamed answers, and refunds that a person approves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from desk import BROKEN, data, desk, paid, refunds, state, support, texts

from engine.journal.memory import MemoryJournal
from engine.log.streams import Streams
from engine.records import Command
from engine.session import Session
from engine.testing.dying import DyingJournal, live_until_dead
from engine.testing.rig import Rig
from engine.testing.virtual import in_virtual_time, run_virtual


@in_virtual_time
async def test_a_customer_is_handed_on_and_back() -> None:
    """Each hand-off is a message of the next agent's actor; the conversation goes along."""
    async with desk(None) as r:
        session = await r.create(data=support())
        for text in ("what does a lamp cost?", "I buy the lamp", BROKEN):
            await r.send(session, "say", {"text": text})
        hops = [(one["agent"], one["to"]) for one in await data(r, session, "agent.handoff")]
        assert hops == [("triage", "sales"), ("sales", "triage"), ("triage", "refunds")]
        tools = [one["name"] for one in await data(r, session, "agent.tool")]
        assert tools == ["find_item", "place_order", "look_up_order"]
        works = [one["data"]["actor"] for one in await r.updates(session, "agent.state") if one["data"]["to"] == "busy"]
        assert "/main/sales" in works
        assert state(session, "refunds") == "awaiting_input"


@in_virtual_time
async def test_a_script_says_that_it_is_one() -> None:
    async with desk(None) as r:
        session = await r.create(data=support())
        await r.send(session, "say", {"text": "hello"})
        greeting, answer = await data(r, session, "agent.message")
        assert "script" in greeting["text"]
        assert (greeting["model"], answer["model"]) == ("scripted", "scripted")


@in_virtual_time
async def test_an_answer_is_streamed_and_then_one_message() -> None:
    """What the chunks say, put together by the protocol's rule, is the finished message."""
    async with desk(None) as r:
        session = await r.create(data=support(words_per_s=100))
        chunks: list[dict[str, Any]] = []
        session.log.watch_notes(lambda kind, said: chunks.append(dict(said)))
        await r.send(session, "say", {"text": "hello there"})
        await r.advance(10)
        text = ""
        for chunk in chunks:
            text = text[: chunk["at"]] + chunk["text"]
        (message,) = [one for one in await data(r, session, "agent.message") if "msg" in one]
        assert {chunk["msg"] for chunk in chunks} == {message["msg"]}
        assert len(chunks) > 5
        assert text == message["text"]
        assert len(session.log.streams) == 0


@in_virtual_time
async def test_who_comes_late_finds_the_text_so_far() -> None:
    async with desk(None) as r:
        session = await r.create(data=support(words_per_s=10))
        await r.manager.send(session.sid, name="say", payload={"text": "hello there"})
        await r.advance(1.05)
        (msg,) = session.log.streams
        stream = session.log.streams.get(msg)
        assert stream is not None
        assert stream.text.startswith("You wrote: 'hello there'.")
        assert stream.chunk(msg, 0) == {"agent": "triage", "msg": msg, "at": 0, "text": stream.text}
        await r.advance(60)
        assert len(session.log.streams) == 0


@in_virtual_time
async def test_an_interrupted_answer_is_taken_back() -> None:
    """Otherwise half a sentence would stay on every screen for ever."""
    async with desk(None) as r:
        session = await r.create(data=support(words_per_s=10))
        chunks: list[Any] = []
        session.log.watch_notes(lambda kind, said: chunks.append((said["at"], said["text"])))
        await r.manager.send(session.sid, name="say", payload={"text": "hello"})
        await r.advance(0.5)
        assert len(session.log.streams) == 1
        await r.send(session, "interrupt", {})
        await r.advance(60)
        assert chunks[-1] == (0, "")
        assert len(session.log.streams) == 0
        assert len(await texts(r, session)) == 1


def approval(session: Session) -> None:
    assert state(session, "refunds") == "awaiting_input"


@pytest.mark.parametrize("word", ["approve", "Yes.", "approve A-1001"])
def test_a_refund_is_paid_once_a_person_approves(word: str, tmp_path: Path) -> None:
    """Waiting is a state; the request says what is asked; the tool runs after the word and not before."""

    @in_virtual_time
    async def run() -> None:
        async with desk(tmp_path) as r:
            session = await r.create(data=support())
            await r.send(session, "say", {"text": BROKEN})
            approval(session)
            (request,) = await data(r, session, "input.request")
            assert (request["kind"], request["agent"]) == ("approval", "refunds")
            assert (request["details"]["order"], request["details"]["cents"]) == ("A-1001", 3900)
            assert (await refunds(r, session), paid(tmp_path, session)) == ([], [])
            await r.send(session, "say", {"text": word})
            (done,) = await refunds(r, session)
            assert (done["ok"], done["approved_by"]) == (True, "tester")
            assert paid(tmp_path, session) == ["refund-A-1001.json"]
            assert "paid back" in (await texts(r, session))[-1]
            assert state(session, "refunds") == "ready"

    run()


@in_virtual_time
async def test_an_approval_by_the_requests_own_id(tmp_path: Path) -> None:
    async with desk(tmp_path) as r:
        session = await r.create(data=support())
        await r.send(session, "say", {"text": BROKEN})
        late = await r.send(session, "answer", {"request": "refunds-0", "text": "approve"}, to="/main/refunds")
        assert (late.status, paid(tmp_path, session)) == ("refused", [])
        assert (await r.send(session, "answer", {"request": "refunds-1", "text": "approve"}, to="/main/refunds")).ok
        again = await r.send(session, "answer", {"request": "refunds-1", "text": "approve"}, to="/main/refunds")
        assert not again.ok
        assert len(await refunds(r, session)) == 1


@pytest.mark.parametrize("way", ["say", "answer"])
def test_a_rejected_refund_is_not_paid(way: str, tmp_path: Path) -> None:
    @in_virtual_time
    async def run() -> None:
        async with desk(tmp_path) as r:
            session = await r.create(data=support())
            await r.send(session, "say", {"text": BROKEN})
            if way == "say":
                await r.send(session, "say", {"text": "reject"})
            else:
                await r.send(session, "answer", {"request": "refunds-1", "text": "no"}, to="/main/refunds")
            (told,) = await refunds(r, session)
            assert (told["ok"], told["rejected_by"]) == (False, "tester")
            assert paid(tmp_path, session) == []
            assert "Not paid back" in (await texts(r, session))[-1]
            await r.send(session, "say", {"text": "approve"})
            assert paid(tmp_path, session) == [], "a word after the decision decides nothing"

    run()


@in_virtual_time
async def test_anything_but_yes_or_no_is_asked_again(tmp_path: Path) -> None:
    """It is about money: "ok, but wait" is no yes, and the number of another order is none either."""
    async with desk(tmp_path) as r:
        session = await r.create(data=support())
        await r.send(session, "say", {"text": BROKEN})
        for text in ("ok, but wait", "approve A-1002", "approve everything"):
            await r.send(session, "say", {"text": text})
            approval(session)
        assert paid(tmp_path, session) == []
        assert len(await data(r, session, "input.request")) == 4


@in_virtual_time
async def test_a_yes_from_before_the_question_approves_nothing(tmp_path: Path) -> None:
    """It waited behind other work and was meant for something else; the question stays open."""
    async with desk(tmp_path) as r:
        session = await r.create(data=support(words_per_s=5))
        await r.manager.send(session.sid, name="say", payload={"text": "hello"})
        await r.manager.send(session.sid, name="say", payload={"text": BROKEN})
        await r.manager.send(session.sid, name="say", payload={"text": "yes"})
        await r.advance(60)
        approval(session)
        assert (await refunds(r, session), paid(tmp_path, session)) == ([], [])
        await r.send(session, "say", {"text": "yes"})
        await r.advance(60)
        assert paid(tmp_path, session) == ["refund-A-1001.json"]


@in_virtual_time
async def test_an_approval_expires_and_a_late_yes_pays_nothing(tmp_path: Path) -> None:
    """M7; the refund stays undecided, and is asked about again before anything else."""
    async with desk(tmp_path) as r:
        session = await r.create(data=support())
        await r.send(session, "say", {"text": BROKEN})
        await r.advance(8 * 3600 + 1)
        assert (await data(r, session, "input.response"))[-1]["how"] == "expired"
        await r.send(session, "say", {"text": "yes"})
        assert paid(tmp_path, session) == []
        approval(session)
        await r.send(session, "say", {"text": "yes"})
        assert paid(tmp_path, session) == ["refund-A-1001.json"]


@in_virtual_time
async def test_an_interrupted_approval_pays_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as r:
        session = await r.create(data=support())
        await r.send(session, "say", {"text": BROKEN})
        await r.send(session, "interrupt", {})
        assert state(session, "refunds") == "ready"
        await r.send(session, "say", {"text": "approve", "agent": "refunds"})
        assert paid(tmp_path, session) == []


@in_virtual_time
async def test_an_order_is_paid_back_once(tmp_path: Path) -> None:
    """Whatever is asked for afterwards: nobody is even asked."""
    async with desk(tmp_path) as r:
        session = await r.create(data=support())
        for text in (BROKEN, "approve", BROKEN):
            await r.send(session, "say", {"text": text})
        assert state(session, "refunds") == "ready"
        assert len(await data(r, session, "input.request")) == 1
        assert "paid back already" in (await texts(r, session))[-1]


@in_virtual_time
async def test_an_agent_spoken_to_by_name_takes_the_customer() -> None:
    async with desk(None) as r:
        session = await r.create(data=support())
        await r.send(session, "say", {"text": "good morning", "agent": "sales"})
        assert (await texts(r, session))[-1].startswith("Sales here. You wrote: 'good morning'")
        await r.send(session, "say", {"text": "still there?"})
        assert (await texts(r, session))[-1].startswith("Sales here. You wrote: 'still there?'")


def test_a_long_talk_stays_within_its_bounds() -> None:
    """L11: what travels between agents is the end of the talk."""

    @in_virtual_time
    async def run() -> None:
        async with desk(None) as r:
            session = await r.create(data=support())
            for number in range(30):
                await r.send(session, "say", {"text": f"word{number} " * 900})
            kept = session.actors["/main/triage"].data["state"]["context"]
            assert len(str(kept)) < 100_000
            assert kept[0]["type"] == "UserMessage"
            assert "word29" in (await texts(r, session))[-1]

    run()


# Restarts


async def _begin(journal: Any, tmp_path: Path) -> str:
    async with desk(tmp_path, journal=journal) as r:
        session = await r.create(data=support())
        await r.send(session, "say", {"text": BROKEN})
        return session.sid


def test_a_restart_in_the_middle_of_an_approval(tmp_path: Path) -> None:
    """The question is still open in the next process, and one yes pays once."""
    journal = MemoryJournal()
    run_virtual(_begin(journal, tmp_path))

    async def second() -> None:
        async with desk(tmp_path, journal=journal) as r:
            (session,) = r.manager.sessions()
            session.attach("control")
            await r.settle()
            approval(session)
            assert paid(tmp_path, session) == []
            await r.send(session, "say", {"text": "approve"})
            assert len(await refunds(r, session)) == 1
            assert paid(tmp_path, session) == ["refund-A-1001.json"]

    run_virtual(second())


async def _refund(r: Rig, session: Session) -> None:
    """As a client does it: every command under its number, sent again until its outcome is known."""
    for c, text in enumerate((BROKEN, "approve"), start=1):
        await r.send(session, "say", {"text": text}, command=Command("c1", c, text))
        await r.settle()


def test_a_crash_anywhere_pays_once(tmp_path: Path) -> None:
    """After any record: the client sends again what was not answered, and the till has paid exactly once."""

    async def first(r: Rig) -> None:
        session = await r.create(data=support())
        await _refund(r, session)

    async def second(journal: DyingJournal) -> bool:
        journal.left = -1
        before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/refund-*")}
        async with desk(tmp_path, journal=journal) as r:
            sessions = [one for one in r.manager.sessions() if one.state in ("active", "reconnecting", "recovering")]
            for session in sessions:
                session.attach("control")
                await r.settle()
                await r.advance(1)
                await _refund(r, session)
                assert paid(tmp_path, session) == ["refund-A-1001.json"]
                assert [one["ok"] for one in await refunds(r, session)] == [True]
                assert len(await data(r, session, "agent.handoff")) == 1
                for path in (tmp_path / session.sid).glob("refund-*"):
                    assert before.get(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns, "paid again"
            return bool(sessions)

    async def whole(journal: DyingJournal) -> None:
        await live_until_dead(journal, desk(tmp_path, journal=journal), first)

    uncut = DyingJournal(100_000)
    run_virtual(whole(uncut))
    total = 100_000 - uncut.left
    came_back = 0
    for position in range(1, total, 2):
        journal = DyingJournal(position)
        run_virtual(whole(journal))
        came_back += run_virtual(second(journal))
    assert came_back > total // 4, "only a creation that was cut comes to nothing"


def test_streams_are_bounded() -> None:
    """L11, and a chunk that begins beyond what is known means nothing."""
    streams = Streams()
    for number in range(200):
        assert streams.note({"msg": f"m{number}", "at": 0, "text": "x" * 50_000, "agent": "a"})
    assert len(streams) == 64
    kept = streams.get("m199")
    assert kept is not None
    assert len(kept.text) == 32 * 1024
    assert not streams.note({"msg": "other", "at": 5, "text": "late"})
    assert not streams.note({"msg": "m199", "at": 32 * 1024, "text": "beyond"})
    assert streams.note({"msg": "m199", "at": 3, "text": "y"})
    assert kept.text == "xxxy"
