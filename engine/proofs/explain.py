"""Every code that `steward check` may prove, what it means, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Explanation:
    """is_warning: the file may accept it, with a reason. short: the line of a table; text: all of it."""

    short: str
    text: str
    is_warning: bool = False


EXPLANATIONS: Final[Mapping[str, Explanation]] = MappingProxyType(
    {
        # Structure
        "unreachable-state": Explanation(
            "no event ever leads to the state",
            "From the initial state no row that can be taken leads here, so nothing it declares ever happens. "
            "Lead an event to it, or take it out.",
            is_warning=True,
        ),
        "no-way-to-end": Explanation(
            "from the state no event leads to a final one",
            "Whatever happens, an actor that is here never ends, and neither does who owns it, except by force. "
            "Lead an event towards a state with `final: true`.",
        ),
        "never-taken": Explanation(
            "a transition or a time limit that something before it always takes the place of",
            "A list takes the first entry whose guard holds. If an earlier entry has no guard, the same one, or one "
            "that holds whenever this does, this entry is never taken. In the same way a time limit never comes if a "
            "shorter one has always left the state. Change the order, or take it out.",
            is_warning=True,
        ),
        "unused-event": Explanation(
            "a declared event that no state takes",
            "Whoever sends it is refused everywhere. List it in a state or under the machine's `transitions`, or take "
            "the declaration out.",
            is_warning=True,
        ),
        "guarded-gap": Explanation(
            "the guards of `done` or `failed` may all say no, and nothing else leads on",
            "The activity is over; if no entry of the list holds, the event is ignored and nothing more happens by "
            "itself. Let the last entry have no guard, or give the state an `after`.",
        ),
        # Waits
        "unbounded-wait": Explanation(
            "a state in which an actor may wait for ever",
            "Nobody has to come. A root leaves each state by itself: by an `after` or `idle` of which some entry is "
            "always taken and has a target, or by a `run` that is bounded and whose `done` and `failed` lead on. A "
            "state of an owned kind needs that only for its `run`; without one, `stop` reaches it.",
        ),
        # Resources
        "held-at-end": Explanation(
            "a final state is entered while something may still be held",
            "On the path shown, what was acquired was never let go: there was no `cleanup`, or it came before. Before "
            "a final state is entered the engine looks, and refuses; the actor stays where it is. End in a state with "
            "`run: [cleanup]` first.",
        ),
        "leak-trap": Explanation(
            "what cannot be let go would keep a root here for ever",
            "If a probe still sees the thing after `do` and `force`, no final state can be entered, and on the path "
            "shown nothing else leads on; not even an operator can. Lead `failed` of the full cleanup to a state with "
            "`quarantine: true`, where `retry_cleanup` and `write_off` can be listed.",
        ),
        "growing-hold": Explanation(
            "a circle that acquires on each round and never lets go",
            "Each round may add one more. Let go on the way (`cleanup: {only: […]}`, or an action with `releases`), "
            "or say `@action(acquires=…, once=True)` of an action that keeps what is held already.",
            is_warning=True,
        ),
        # Loops
        "unbudgeted-loop": Explanation(
            "a circle that turns by itself, without a budget",
            "`done`, `failed`, `child_ended` and conditions lead back to where they began; a thing that is broken for "
            "good is repaired again and again. Guard an entry on the way with `entered_below`, counting a state that "
            "every round enters.",
            is_warning=True,
        ),
        # The file itself
        "accepts-nothing": Explanation(
            "an `accept` for something that is not there",
            "What was accepted has been mended, or was written for another place. Take the line out, or the next "
            "mistake of this sort goes unseen.",
            is_warning=True,
        ),
    }
)

ACCEPTABLE: Final = tuple(code for code, one in EXPLANATIONS.items() if one.is_warning and code != "accepts-nothing")
