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
        "never-ends": Explanation(
            "time limits and ends of activities lead round in a circle",
            "Left alone, a session comes to its end: with `done`, `failed` and time limits only. Here these lead "
            "back to where they began, so that a session nobody wants any more lives for ever. An `entered_below` "
            "ends the circle, if its count is used up within its time however long a round takes.",
            is_warning=True,
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
            "If a probe still sees the thing after `do` and `force`, no final state can be entered. A way to one is "
            "then refused, and what comes of it is `failed`; if that leads to an end as well, nothing more happens by "
            "itself. Lead `failed` to a state with `run: [cleanup]`, and the `failed` of that one "
            "to a state with `quarantine: true`, where `retry_cleanup` and `write_off` can be listed.",
        ),
        "growing-hold": Explanation(
            "a circle that acquires on each round and never lets go",
            "Each round may add one more. Let go on the way (`cleanup: {only: […]}`, or an action with `releases`), "
            "or say `@action(acquires=…, once=True)` of an action that keeps what is held already.",
            is_warning=True,
        ),
        # Composition
        "initial-wait": Explanation(
            "the initial state of an owned kind is not surely left",
            "`start_child` returns when the child has left its initial state. From this one nothing leads on by "
            "itself, so whoever starts it waits. Give it a bounded `run` whose `done` and `failed` lead on, or an "
            "`after`.",
        ),
        "stop-lost": Explanation(
            "after `stop` an actor may stay, or go back to work",
            "A parent says `stop` once and waits for the end. From every state `stop` leads to states that reach a "
            "final one by themselves, whatever else comes meanwhile: states with the full `cleanup`, or with a "
            "bounded `run` or an `after`, from which nothing leads back. Else the parent waits its full time and ends "
            "the child by force.",
        ),
        "slow-stop": Explanation(
            "after `stop` an actor may take longer than its parent waits",
            "A parent waits for as long as the clean-up of the child's kind may take. What is between `stop` and that "
            "clean-up is not counted, and the child is ended by force in the middle of it.",
        ),
        "short-timeout": Explanation(
            "a parent gives its children less time than they may take",
            "A step that starts children is cut short while a child may still come up in its own time, or a state "
            "that ends children is left before all of them may be at their end. Lengthen the parent's time-out, or "
            "shorten the children's.",
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
