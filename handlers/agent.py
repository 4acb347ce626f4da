"""What an agent does: handles one message at a time, asks a person, and reports to its orchestrator.

data: {agent, state: of the agent's own, work: the message under way, request: the open question {id, prompt, kind, at:
UTC seconds}, asked: how many questions there were, floor: see turn.is_called_off}. The state changes with the reply's
commit, so a message that was cut short is handled again from where it began.
"""

from __future__ import annotations

from typing import Any

from engine.context import Context, RunContext
from engine.errors import HandlerFailed
from engine.registry import action, probe
from engine.resources import Resource

from .backend import Envelope
from .orchestrator import backend_of
from .team import PersonSaid


@action(acquires="agent", once=True)
async def make_agent(ctx: RunContext) -> None:
    """Seat the agent with its stored state, unless it sits there sound."""
    backend, name = backend_of(ctx), ctx.data["agent"]
    if not any(resource.handle is backend for resource in ctx.held("agent")):
        # Held before it is made: half an agent has to be let go too.
        ctx.resources.hold("agent", name, backend)
    await backend.seat(name, ctx.data.get("state"))


@action()
async def handle_message(ctx: RunContext) -> dict[str, Any]:
    """The message under way, through the agent; its reply is the result of the activity."""
    work = ctx.data["work"]
    envelope = Envelope(ctx.data["agent"], work["message"], work["sender"], work["topic"], work.get("answer", ""))
    reply = await backend_of(ctx).deliver(envelope, spawn=ctx.spawn, note=ctx.note, process=ctx.resources.process)
    return reply.to_json()


@action()
async def close_agent(ctx: Context) -> None:
    for resource in ctx.held("agent"):
        await resource.handle.dismiss(resource.name)


@action()
def abandon_agent(ctx: Context) -> None:
    for resource in ctx.held("agent"):
        resource.handle.force(resource.name)


@probe("agent")
def agent_is_gone(resource: Resource) -> bool:
    return not resource.handle.has_agent(resource.name)


# Taking a message


@action()
def take_work(ctx: Context) -> None:
    payload = ctx.event.payload
    ctx.data["work"] = {key: payload[key] for key in ("id", "message", "sender", "topic")}
    ctx.data["work"]["answer"] = _answer_id(ctx, payload["id"])


def _answer_id(ctx: Context, number: int) -> str:
    """What clients know the answer by while it is streamed: no other has it, also not after the team was rebuilt and
    counts from the start."""
    return f"{ctx.path.lstrip('/')}.{number}.{round(ctx.now * 1000):x}"


@action()
def take_person(ctx: Context) -> None:
    """What a person said, by way of the orchestrator; it answers the question that is open, if one is.

    An approval is answered only by what was said after it was asked for: a "yes" that waited behind other work was
    meant for something else.
    """
    payload, request = ctx.event.payload, ctx.data.get("request")
    if request is not None and request.get("kind") == "approval" and (payload["at"] or 0.0) < request["at"]:
        _take_said(ctx, payload["id"], PersonSaid(text=payload["text"], by=payload["by"]))
    else:
        _take_answer(ctx, payload["id"], payload["text"], payload["by"])


@action()
def take_answer(ctx: Context) -> None:
    """An answer that a client sent to this agent directly; the orchestrator is told that the turn goes on."""
    number = -ctx.data["asked"]
    _take_answer(ctx, number, ctx.event.payload["text"], ctx.event.caller.user or ctx.user)
    ctx.send("parent", "agent_resumed", {"id": number})


def _take_answer(ctx: Context, number: int, text: str, by: str) -> None:
    request = ctx.data.get("request") or {"id": ""}
    _take_said(ctx, number, PersonSaid(text=text, by=by, request=request["id"]))
    _end_request(ctx, "answered")


def _take_said(ctx: Context, number: int, said: PersonSaid) -> None:
    message = {"type": "PersonSaid", "body": said.model_dump()}
    answer = _answer_id(ctx, number)
    ctx.data["work"] = {"id": number, "message": message, "sender": "", "topic": None, "answer": answer}
    ctx.emit("person.message", {"agent": ctx.data["agent"], "text": said.text, "by": said.by})


@action()
def drop_work(ctx: Context) -> None:
    """The orchestrator has called it off and waits for no reply."""


@action()
def call_off(ctx: Context) -> None:
    """Remember what was called off; a message that is on its way here may be of it."""
    _raise_floor(ctx)


def _raise_floor(ctx: Context) -> None:
    ctx.data["floor"] = max(ctx.data.get("floor", 0), ctx.event.payload.get("before") or 0)


# Reporting


@action()
def reply(ctx: Context) -> None:
    """Everything the handler did, at once: its state, its updates, its messages."""
    result = ctx.event.payload["result"]
    ctx.data["state"] = result["state"]
    for kind, data in result["emits"]:
        ctx.emit(kind, data)
    _answer_parent(ctx, result["outcome"], result["sends"])


@action()
def ask_person(ctx: Context) -> None:
    """The reply, and a question that stays open until a person says something."""
    reply(ctx)
    _end_request(ctx, "replaced")
    ctx.data["asked"] = ctx.data.get("asked", 0) + 1
    name, result = ctx.data["agent"], ctx.event.payload["result"]
    request = {"id": f"{name}-{ctx.data['asked']}", "prompt": result["prompt"], "kind": result["kind"], "at": ctx.now}
    ctx.data["request"] = request
    shown = {"request": request["id"], "agent": name, "prompt": result["prompt"], "kind": result["kind"]}
    ctx.emit("input.request", {**shown, "details": result["details"]} if result["details"] else shown)


@action()
def report_failure(ctx: Context) -> None:
    """To clients: that it failed, with the reference under which the server's log has the reason."""
    error = ctx.event.payload.get("error") or {"code": "timeout", "ref": ""}
    shown = {key: error[key] for key in ("code", "ref")}
    text = "This message could not be handled."
    ctx.emit("agent.message", {"agent": ctx.data["agent"], "text": text, "error": shown})
    _take_back(ctx)
    _answer_parent(ctx, "failed", [])


@action()
def report_timeout(ctx: Context) -> None:
    report_failure(ctx)


@action()
def report_interrupted(ctx: Context) -> None:
    _raise_floor(ctx)
    _take_back(ctx)
    _answer_parent(ctx, "interrupted", [])


def _take_back(ctx: Context) -> None:
    """Clients drop what they saw of an answer that will not be finished."""
    answer = ctx.data["work"].get("answer", "")
    ctx.note("agent.chunk", {"agent": ctx.data["agent"], "msg": answer, "at": 0, "text": ""})


@action()
def withdraw_request(ctx: Context) -> None:
    _raise_floor(ctx)
    _end_request(ctx, "interrupted")


@action()
def report_expired(ctx: Context) -> None:
    _end_request(ctx, "expired")


def _answer_parent(ctx: Context, outcome: str, sends: list[Any]) -> None:
    """One reply for the message under way."""
    work = ctx.data.pop("work", None)
    if work is None:
        raise HandlerFailed("agent", "nonsense", "there is no message under way to reply to")
    ctx.send("parent", "agent_reply", {"id": work["id"], "outcome": outcome, "sends": sends})


def _end_request(ctx: Context, how: str) -> None:
    request = ctx.data.pop("request", None)
    if request is not None:
        ctx.emit("input.response", {"request": request["id"], "agent": ctx.data["agent"], "how": how})
