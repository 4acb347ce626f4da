"""What the support agents say to each other: the conversation itself travels, in AutoGen's own message types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from autogen_core.models import LLMMessage, UserMessage
from pydantic import BaseModel, ConfigDict, Field

from engine.codec import encode
from handlers.team import TeamMessage

TRIAGE: Final = "triage"  # an agent's name is the topic it listens to
SALES: Final = "sales"
REFUNDS: Final = "refunds"

CONTEXT_MESSAGES_MAX: Final = 40
CONTEXT_BYTES_MAX: Final = 64 * 1024  # twice in one reply (sent and kept), far below what a reply may have
TEXT_CHARS_MAX: Final = 8000  # of one message of a person, and of one tool's result


class Options(BaseModel):
    """What a talk with the desk is to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words_per_s: float = Field(
        default=30.0, ge=0, le=1000, description="How fast the scripted model writes; 0 writes at once"
    )


class Begin(TeamMessage):
    """To triage: a customer is there."""


class CustomerTask(TeamMessage):
    """To an agent: the customer is yours; answer the end of this conversation."""

    context: tuple[LLMMessage, ...]


class AgentResponse(TeamMessage):
    """To triage: this was answered; whatever the customer says next is for me."""

    context: tuple[LLMMessage, ...]


class Addressed(TeamMessage):
    """To triage: the customer spoke to me by name, and I do not know what was said before."""

    text: str
    by: str


def trimmed(context: Sequence[LLMMessage]) -> list[LLMMessage]:
    """The end of a conversation that fits into its bounds. It begins with a person's words: a tool's result without
    the call it belongs to is refused by models. If a person's last words and what they led to are too much for that,
    these words alone are kept: better no results than no question."""
    sizes = [len(encode(message.model_dump(mode="json"))) for message in context]
    first = max(0, len(context) - CONTEXT_MESSAGES_MAX)
    while first < len(context) and (
        sum(sizes[first:]) > CONTEXT_BYTES_MAX or not isinstance(context[first], UserMessage)
    ):
        first += 1
    if first == len(context):
        last = next((message for message in reversed(context) if isinstance(message, UserMessage)), None)
        return [] if last is None else [last]
    return list(context[first:])
