"""Who sits at the desk: triage, who keeps the conversation, sales, and refunds, who asks a person first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from autogen_core import FunctionCall, MessageContext, message_handler
from autogen_core.models import FunctionExecutionResult, FunctionExecutionResultMessage, LLMMessage, UserMessage
from autogen_core.tools import FunctionTool
from pydantic import TypeAdapter

from handlers.stream import Stream
from handlers.team import NeedsInput, PersonSaid, Seat

from .messages import (
    REFUNDS,
    SALES,
    TEXT_CHARS_MAX,
    TRIAGE,
    Addressed,
    AgentResponse,
    Begin,
    CustomerTask,
    trimmed,
)
from .openai import Counted
from .script import LABEL
from .shop import CATALOGUE, Order, Till, euros, find_items, find_order
from .talker import Talker

CONTEXT: Final[TypeAdapter[list[LLMMessage]]] = TypeAdapter(list[LLMMessage])
MANNERS: Final = "You work at the support desk of a small shop. Answer briefly, in the customer's language. "
BACK: Final = {"transfer_back_to_triage": TRIAGE}
YES: Final = frozenset({"approve", "approved", "yes", "y", "ok"})
NO: Final = frozenset({"reject", "rejected", "no", "n", "deny"})
SCRIPTED: Final = (
    "Hello, this is the support desk. No model is configured, so a script answers: it goes by keywords. "
    "Try: what does a lamp cost? Or: the lamp of order A-1001 is broken."
)


class Triage(Talker):
    """Keeps the conversation and knows who has the customer; talks itself while nobody else does."""

    def __init__(self, seat: Seat, client: Counted) -> None:
        system = (
            f"{MANNERS}Find out what the customer wants. Hand who wants to buy over to sales, and who wants to give "
            "something back or has trouble with an order over to refunds."
        )
        hands_to = {"transfer_to_sales": SALES, "transfer_to_refunds": REFUNDS}
        super().__init__(seat, client, "receives customers", system, hands_to=hands_to)
        self._context: list[LLMMessage] = []
        self._with = TRIAGE

    @message_handler
    async def begin(self, message: Begin, ctx: MessageContext) -> None:
        text = SCRIPTED if self._client.label == LABEL else "Hello, this is the support desk. How can I help?"
        self._seat.emit("agent.message", {"agent": self._seat.name, "text": text, "model": self._client.label})

    @message_handler
    async def said(self, message: PersonSaid, ctx: MessageContext) -> NeedsInput | None:
        return await self._hear(message.text, message.by)

    @message_handler
    async def addressed(self, message: Addressed, ctx: MessageContext) -> NeedsInput | None:
        assert ctx.sender is not None, "only agents send this"
        self._with = ctx.sender.type
        return await self._hear(message.text, message.by)

    @message_handler
    async def taken_over(self, message: CustomerTask, ctx: MessageContext) -> NeedsInput | None:
        self._with = TRIAGE
        return await self.converse(list(message.context), self._seat.stream())

    @message_handler
    async def responded(self, message: AgentResponse, ctx: MessageContext) -> None:
        assert ctx.sender is not None, "only agents send this"
        self._context = list(message.context)
        self._with = ctx.sender.type

    async def answered(self, context: list[LLMMessage]) -> None:
        self._context = trimmed(context)
        self._with = TRIAGE

    async def hand_over(self, topic: str, context: list[LLMMessage]) -> None:
        self._context, self._with = context, topic
        await super().hand_over(topic, context)

    async def _hear(self, text: str, by: str) -> NeedsInput | None:
        said = UserMessage(content=text[:TEXT_CHARS_MAX], source=by or "customer")
        self._context = trimmed([*self._context, said])
        if self._with != TRIAGE:
            await self.tell(self._with, CustomerTask(context=tuple(self._context)))
            return None
        return await self.converse(list(self._context), self._seat.stream())

    async def save_state(self) -> Mapping[str, Any]:
        return {"context": _dump(self._context), "with": self._with}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self._context = CONTEXT.validate_python(state["context"])
        self._with = state["with"]


class Sales(Talker):
    def __init__(self, seat: Seat, client: Counted) -> None:
        system = f"{MANNERS}You are sales. Look things up before you name a price; order only what was asked for."
        tools = [
            FunctionTool(self.find_item, "What we sell that fits a query, with prices."),
            FunctionTool(self.place_order, "Order an item of the catalogue for the customer."),
        ]
        super().__init__(seat, client, "sells", system, tools, BACK)
        self._orders = 0

    async def find_item(self, query: str) -> str:
        return "; ".join(find_items(query)) + "."

    async def place_order(self, item: str, quantity: int = 1) -> str:
        if item not in CATALOGUE or not 1 <= quantity <= 100:
            raise ValueError(f"we sell {', '.join(CATALOGUE)}, 1 to 100 of each")
        self._orders += 1
        what = f"{quantity} {item}s" if quantity > 1 else f"one {item}"
        return f"Order B-{1000 + self._orders}: {what}, {euros(quantity * CATALOGUE[item])}."

    @message_handler
    async def work(self, message: CustomerTask, ctx: MessageContext) -> NeedsInput | None:
        return await self.converse(list(message.context), self._seat.stream())

    @message_handler
    async def said(self, message: PersonSaid, ctx: MessageContext) -> None:
        await self.tell(TRIAGE, Addressed(text=message.text, by=message.by))

    async def save_state(self) -> Mapping[str, Any]:
        return {"orders": self._orders}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self._orders = state["orders"]


class Refunds(Talker):
    """Pays nothing back that no person has approved. What waits for approval is part of its state, so it outlives
    the server."""

    def __init__(self, seat: Seat, client: Counted) -> None:
        system = (
            f"{MANNERS}You are refunds. Look an order up before you refund it. The tool refund asks a person for "
            "approval by itself; tell the customer what came of it, and do not call it again if it was rejected."
        )
        tools = [
            FunctionTool(self.look_up_order, "What an order number such as A-1001 stands for."),
            FunctionTool(self.refund, "Pay an order back, once a person has approved it."),
        ]
        super().__init__(seat, client, "pays back", system, tools, BACK)
        self._till = Till(seat.workspace)
        self._approver = ""
        self._open: dict[str, Any] | None = None  # {context, call: at whose approval, calls: after it, results: before}

    async def look_up_order(self, order: str) -> str:
        found = find_order(order)
        was_paid = " It was paid back already." if self._till.has_paid(found) else ""
        return f"Order {found.number}: {found.item}, {euros(found.cents)}.{was_paid}"

    async def refund(self, order: str, reason: str) -> str:
        if not self._approver:
            raise AssertionError("a refund is run by approved(), and by nothing else")
        return self._till.refund(find_order(order), self._approver)

    @message_handler
    async def work(self, message: CustomerTask, ctx: MessageContext) -> NeedsInput | None:
        if self._open is None:
            return await self.converse(list(message.context), self._seat.stream())
        if self._is_paid():
            return await self._decided(True, "")
        return self._ask_again("A refund still waits for a decision.")

    def _is_paid(self) -> bool:
        """Whether what waits was approved and paid by a handler that was cut short after that."""
        assert self._open is not None, "only an open refund waits"
        return self._till.has_paid(_order_of(FunctionCall(**self._open["call"]))[0])

    @message_handler
    async def said(self, message: PersonSaid, ctx: MessageContext) -> NeedsInput | None:
        if self._open is None:
            await self.tell(TRIAGE, Addressed(text=message.text, by=message.by))
            return None
        if self._is_paid():
            return await self._decided(True, message.by)
        if not message.request:
            # Said before it was asked, or after the question had expired: nobody approves what they have not seen.
            return self._ask_again("That was not an answer to this question.")
        is_approved = self._read(message.text)
        if is_approved is None:
            return self._ask_again("Please write approve or reject.")
        return await self._decided(is_approved, message.by)

    def _read(self, text: str) -> bool | None:
        """Yes or no, alone or with the number of this order; None for everything else, for it is about money."""
        assert self._open is not None, "only an open question is answered"
        order, _ = _order_of(FunctionCall(**self._open["call"]))
        word = text.strip().rstrip(".!").lower().removesuffix(order.number.lower()).strip()
        return True if word in YES else False if word in NO else None

    def _ask_again(self, why: str) -> NeedsInput:
        self._seat.emit("agent.message", {"agent": self._seat.name, "text": why})
        return self._question()

    def _question(self) -> NeedsInput:
        assert self._open is not None, "there is a question only while a refund is open"
        call = FunctionCall(**self._open["call"])
        order, reason = _order_of(call)
        prompt = f"Pay back {euros(order.cents)} for order {order.number} ({order.item})? approve or reject"
        details = {"tool": call.name, "order": order.number, "cents": order.cents, "reason": reason}
        return NeedsInput(prompt=prompt, kind="approval", details=details)

    async def use_tools(
        self, context: list[LLMMessage], calls: Sequence[FunctionCall], stream: Stream
    ) -> tuple[bool, NeedsInput | None]:
        if not any(call.name == "refund" for call in calls):
            return await super().use_tools(context, calls, stream)
        question = await self._go_on(context, list(calls), [])
        if question is not None and stream.text:
            stream.finish(model=self._client.label)
        return question is not None, question

    async def _go_on(
        self, context: list[LLMMessage], calls: list[FunctionCall], results: list[FunctionExecutionResult]
    ) -> NeedsInput | None:
        """Call after call, up to the next refund that can be paid; with none left, their results are in context."""
        while calls:
            call = calls.pop(0)
            if call.name == "refund" and (problem := self._problem(call)) is None:
                self._open = {
                    "context": _dump(trimmed(context)),
                    "call": vars(call),
                    "calls": [vars(one) for one in calls],
                    "results": [result.model_dump() for result in results],
                }
                return self._question()
            if call.name == "refund":
                results.append(_refused(call, str(problem)))
            else:
                results.append(await self.use_tool(call))
        context.append(FunctionExecutionResultMessage(content=results))
        return None

    def _problem(self, call: FunctionCall) -> str | None:
        """Why nobody needs to be asked."""
        try:
            order, _ = _order_of(call)
        except ValueError as error:
            return str(error)
        return f"order {order.number} was paid back already" if self._till.has_paid(order) else None

    async def _decided(self, is_approved: bool, by: str) -> NeedsInput | None:
        assert self._open is not None, "a decision is about an open refund"
        opened, self._open = self._open, None
        call = FunctionCall(**opened["call"])
        self._approver = by or "a person"
        try:
            if is_approved:
                result = await self.use_tool(call, approved_by=self._approver)
            else:
                result = _refused(call, f"{self._approver} rejected it")
                told = {"agent": self._seat.name, "call": call.id, "name": call.name, "arguments": call.arguments}
                self._seat.emit("agent.tool", {**told, "result": result.content, "ok": False, "rejected_by": by})
        finally:
            self._approver = ""
        context = CONTEXT.validate_python(opened["context"])
        results = [FunctionExecutionResult.model_validate(one) for one in opened["results"]]
        question = await self._go_on(context, [FunctionCall(**one) for one in opened["calls"]], [*results, result])
        return question or await self.converse(context, self._seat.stream())

    async def save_state(self) -> Mapping[str, Any]:
        return {"paid": list(self._till.paid), "open": self._open}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self._till.paid = list(state["paid"])
        self._open = state["open"]


def _order_of(call: FunctionCall) -> tuple[Order, str]:
    """Raises ValueError if the model's arguments name no order."""
    try:
        arguments = TypeAdapter(dict[str, Any]).validate_json(call.arguments)
    except ValueError:
        raise ValueError("the arguments of refund are {order, reason}") from None
    return find_order(str(arguments.get("order", ""))), str(arguments.get("reason", ""))[:200]


def _refused(call: FunctionCall, why: str) -> FunctionExecutionResult:
    return FunctionExecutionResult(content=f"Not paid back: {why}.", name=call.name, call_id=call.id, is_error=True)


def _dump(context: Sequence[LLMMessage]) -> list[dict[str, Any]]:
    return [message.model_dump(mode="json") for message in context]
