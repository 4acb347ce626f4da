"""Every key of the language in one table: the expander, the JSON Schema and the reference read it from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .. import spec

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,62}$"
FIELD_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
COUNT_MAX: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """type names a reader of expand.py and a definition of schema.py; field is the model's, if it differs."""

    name: str
    type: str
    text: str
    is_required: bool = False
    field: str = ""
    least: int = 0
    most: int = COUNT_MAX

    @property
    def target(self) -> str:
        return self.field or self.name


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of mapping. blanks stand in for required parts that are missing or broken, so checking goes on."""

    noun: str
    text: str
    model: type[spec.Model]
    keys: tuple[Key, ...]
    blanks: Mapping[str, Any] = field(default_factory=dict)

    def key(self, name: str) -> Key | None:
        return next((key for key in self.keys if key.name == name), None)


BLANK_REFERENCE: Final = spec.Reference(name="")
BLANK_STEP: Final = spec.Step(ref=BLANK_REFERENCE)

FILE: Final = Form(
    "the file",
    "a whole lifecycle file",
    spec.Spec,
    (
        Key("lifecycle", "version", f"version of this language: {spec.LANGUAGE_VERSION}", is_required=True),
        Key("name", "text", "what this life is called in diagrams and logs", is_required=True),
        Key("machines", "machines", "kind → machine; a kind nobody owns is a root", is_required=True),
        Key("renamed", "renamed", "kind → old state → new state, for actors stored under the old name"),
    ),
    {"lifecycle": spec.LANGUAGE_VERSION, "name": "", "machines": {}},
)
MACHINE: Final = Form(
    "a machine",
    "the life of one kind of actor",
    spec.Machine,
    (
        Key("description", "text", "one sentence for diagrams and people"),
        Key("owns", "owns", "kinds of its children and how many of each at most; ownership is a tree", least=1),
        Key("initial", "name", "the state a new actor is in", is_required=True),
        Key("events", "events", "what may come from outside this actor, from whom, carrying what"),
        Key("limits", "limits", "how much an actor and all below it may hold"),
        Key("health", "health", "what is looked at, how often, and when it counts as ill"),
        Key(
            "transitions",
            "transitions",
            "for every state that does not list the event itself and is neither final nor quarantine",
        ),
        Key("cleanup", "cleanup", "how this kind lets go of what it holds, in order"),
        Key("accept", "accept", "code of a warning of `steward check` → why it is right here"),
        Key("states", "states", "state → what it does", is_required=True),
    ),
    {"kind": "", "initial": "", "states": {}},
)
STATE: Final = Form(
    "a state",
    "where an actor is, what it does there and what it takes",
    spec.State,
    (
        Key("description", "text", "one sentence for diagrams and people"),
        Key(
            "run",
            "steps",
            "the activity: steps in order, one task that the state owns; ends as `done` or `failed`, and leaving the "
            "state cancels it",
        ),
        Key("after", "timers", "time since the state was entered → what then happens, once"),
        Key("idle", "timers", "time since the last event accepted here → what then happens, once"),
        Key("defer", "names", "declared events kept for later, offered again after each change of state"),
        Key("transitions", "transitions", "event → target, `{to, when, do}`, a list of those, or `[]`, which refuses"),
        Key("final", "flag", "the end of the actor"),
        Key("quarantine", "flag", "waits for a person: nothing is timed or retried, only `admin` leads out"),
        Key("accept", "accept", "code of a warning of `steward check` → why it is right here"),
    ),
)
EVENT: Final = Form(
    "an event",
    "what may come from outside the actor",
    spec.EventDecl,
    (
        Key("from", "senders", f"who may send it: {', '.join(spec.SENDERS)}", is_required=True, field="senders"),
        Key("payload", "payload", "field → `str`, `int`, `float`, `bool`, `json`, `[T]` or `T | None`"),
    ),
    {"senders": ()},
)
TRANSITION: Final = Form(
    "a transition",
    "what one event does",
    spec.Transition,
    (
        Key("to", "name", "the state entered; without it the state, its activity and its timers go on"),
        Key("when", "guard", "taken only if this holds; else the next of the list is asked"),
        Key("do", "steps", "short actions, committed together with the change of state"),
    ),
)
TIMED: Final = Form(
    "a timed transition",
    "what a time limit does, under `after` and `idle`; like a transition, and for roots also",
    spec.Timed,
    (
        *TRANSITION.keys,
        Key("option", "option", "`{name: most}`: whoever creates a session may ask for another length, up to `most`"),
    ),
)
STEP: Final = Form(
    "a step",
    "one call of an action",
    spec.Step,
    (
        Key("do", "reference", "the action", is_required=True, field="ref"),
        Key("with", "arguments", "its arguments", field="arguments"),
        Key("timeout", "duration", "how long one attempt may take", field="timeout_s"),
        Key("retry", "retry", "how often it is tried again"),
    ),
    {"ref": BLANK_REFERENCE},
)
RETRY: Final = Form(
    "retry",
    "attempts with full jitter between them",
    spec.Retry,
    (
        Key("attempts", "count", "calls in all, the first included", is_required=True, least=1, most=20),
        Key("backoff", "duration", "longest wait before the second attempt; doubles each time", field="backoff_s"),
        Key("max", "duration", "where the doubling stops", field="most_s"),
    ),
    {"attempts": 1},
)
LIMITS: Final = Form(
    "limits",
    "how much an actor and all below it may hold",
    spec.Limits,
    (
        Key("live", "count", "actors of this root kind in one process", least=1),
        Key("live_per_user", "count", "actors of this root kind of one user", least=1),
        Key("connections", "count", "clients attached at once", least=1),
        Key("tasks", "count", "running tasks"),
        Key("files", "count", "open files"),
        Key("processes", "count", "child processes"),
        Key("memory", "size", "bytes that resources say they hold"),
    ),
)
HEALTH: Final = Form(
    "health",
    "what is looked at, how often, and when it counts as ill",
    spec.Health,
    (
        Key("every", "duration", "time between two rounds", is_required=True, field="every_s"),
        Key("checks", "references", "checks, in order", is_required=True),
        Key("unhealthy_after", "count", "ill rounds in a row that raise `unhealthy`", least=1, most=1000),
    ),
    {"every_s": 1.0, "checks": ()},
)
CLEANUP: Final = Form(
    "a clean-up entry",
    "how one kind of resource is let go: do, then force, then its probe",
    spec.CleanupEntry,
    (
        Key("release", "name", "the kind of resource", is_required=True),
        Key("do", "step", "the kind way; needed unless the kind is built in"),
        Key("timeout", "duration", "for `do` and for `force`, each", field="timeout_s"),
        Key("force", "step", "when `do` failed, hung or did not help"),
    ),
    {"release": ""},
)
FORMS: Final = (FILE, MACHINE, STATE, EVENT, TRANSITION, TIMED, STEP, RETRY, LIMITS, HEALTH, CLEANUP)
