"""A hypothesis state machine of a lifecycle file: the real engine in virtual time, its handlers in trouble, its process
killed, and the invariants looked at after every step."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ..codec import decode
from ..journal.memory import MemoryJournal
from ..live.attachments import Attachment
from ..records import Command, Event, Outcome, Record
from ..session import Session
from .dying import kill
from .invariants import Watch, outcome_breaks
from .lifecycle import Lifecycle
from .rig import SHUTDOWN_S, Rig
from .strategies import events, troubles, waits
from .trouble import Name, Trouble, Way, troubled
from .virtual import VirtualLoop

BEGAN: Final = 2_000_000_000.0  # UTC; the same for every run, so that a found example fails again
RUN_S: Final = 7200.0  # whatever is asked for has come to its end long before, or never will
BURST_MAX: Final = 4
ACTORS_MAX: Final = 4  # of one kind, that events go to
TIMES_MAX: Final = 3  # that a handler in trouble fails, one call after another
TURNS_MAX: Final = 6  # of the loop, before a sender gives up waiting

T = TypeVar("T")


class LifecycleStateMachine(RuleBasedStateMachine):
    """One session after another, each until it has ended. Subclass it with rules and invariants of your own; they
    find rig, session and the coroutine runner run() here. data: what a session is created with."""

    lifecycle: ClassVar[Lifecycle]
    kind: ClassVar[str]
    trouble: ClassVar[Trouble]
    data: ClassVar[Mapping[str, Any]] = {}
    session: Session

    def __init__(self) -> None:
        super().__init__()
        self.trouble.clear()
        self._journal = MemoryJournal()
        self._raised: list[str] = []
        self._loop = VirtualLoop()
        self._start()
        self._create()

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """What coro returns, once everything that it set off and that needs no time has happened."""
        result = self._loop.run_until_complete(asyncio.wait_for(coro, RUN_S))
        self._loop.run_until_complete(self._loop.settle())
        return result

    # Rules; what those with arguments draw from is the file's: see lifecycle_state_machine()

    def send(self, event: Event, which: int) -> None:
        self.run(self._outcomes([event], which))

    def send_at_once(self, many: list[Event], which: int) -> None:
        self.run(self._outcomes(many, which))

    @precondition(lambda self: self._last is not None and not self.session.is_ended)
    @rule()
    def send_again(self) -> None:
        """L5: a number that has its outcome keeps it, and nothing happens a second time."""
        assert self._last is not None
        again, first = self.run(self._repeat()), self._last[-1]
        found = (again.status, again.code, again.seq)
        assert found == (first.status, first.code, first.seq), f"L5: {first} became {again}"

    def send_and_give_up(self, event: Event, which: int, turns: int) -> None:
        """M6: whoever waits may go; the transition is whole all the same."""
        self.run(self._given_up(event, which, turns))

    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @precondition(lambda self: self._attachment is None and not self.session.is_ended)
    @rule()
    def connect(self) -> None:
        self.run(self._connect())

    @precondition(lambda self: self._attachment is not None and not self.session.is_ended)
    @rule()
    def disconnect(self) -> None:
        self.run(self._disconnect())

    def make_trouble(self, one: tuple[Name, Way], times: int) -> None:
        self.trouble.arm(*one, times)

    @precondition(lambda self: bool(self.trouble.armed) and not self.session.is_ended)
    @rule()
    def end_trouble(self) -> None:
        self.trouble.clear()

    @precondition(lambda self: not self.session.is_ended)
    @rule()
    def crash(self) -> None:
        """The process dies here; the next one finds what was durable, at the same time of day."""
        self._journal.hold()
        old, self._loop = self._loop, VirtualLoop(self._loop.time())
        kill(old)
        self._watch.forget_memory()
        self._start()
        self.session = self.run(self._found())

    @precondition(lambda self: self.session.is_ended)
    @rule()
    def create(self) -> None:
        self._create()

    @invariant()
    def every_invariant_holds(self) -> None:
        """The machine's invariants; one that does not hold is named by its number."""
        broken = self._raised + self.run(self._look())
        assert not broken, "\n".join(broken)

    def teardown(self) -> None:
        self.trouble.clear()
        self.run(self._leave())
        left = sorted(task.get_name() for task in asyncio.all_tasks(self._loop))
        self._loop.close()
        assert not left, f"C3: tasks are left: {left}"

    # How

    def _start(self) -> None:
        self._loop.set_exception_handler(self._note_raised)
        machines = self.lifecycle.machines
        utc = BEGAN + self._loop.time()
        self.rig = Rig(machines, journal=self._journal, services=self.lifecycle.services, utc=lambda: utc)
        self._attachment: Attachment | None = None
        self.run(self.rig.manager.start())

    def _note_raised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._raised.append(f"M3: {context['message']}: {context.get('exception')!r}")

    def _create(self) -> None:
        self._watch = Watch(self.lifecycle.spec)
        self._commands = 0
        self._last: tuple[Event, str, Command, Outcome] | None = None
        self.session = self.run(self.rig.manager.create(user="ann", data=self.data))
        self.run(self._connect())

    async def _found(self) -> Session:
        """The session as it is in memory now: idle ones leave it and come back."""
        found = await self.rig.manager.find(self.session.sid)
        assert found is not None, "L2: a session that was there is gone"
        return found

    async def _connect(self) -> None:
        self._attachment = (await self._found()).attach("control")

    async def _disconnect(self) -> None:
        assert self._attachment is not None
        self._attachment.detach()
        self._attachment = None

    def _paths(self) -> list[str]:
        return [actor.path for actor in self.session.tree() if actor.kind == self.kind] or ["/none"]

    async def _send(self, event: Event, which: int) -> Outcome:
        self._commands += 1
        command, paths = Command("kit", self._commands, str(self._commands)), self._paths()
        path = paths[which % len(paths)]
        outcome = await self._deliver(event, path, command)
        self._last = (event, path, command, outcome)
        return outcome

    async def _repeat(self) -> Outcome:
        assert self._last is not None
        return await self._deliver(*self._last[:3])

    async def _deliver(self, event: Event, path: str, command: Command) -> Outcome:
        return await self.rig.manager.send(
            self.session.sid, to=path, name=event.name, payload=event.payload, origin=event.origin, command=command
        )

    async def _outcomes(self, many: list[Event], which: int) -> None:
        for outcome in await asyncio.gather(*(self._send(event, which) for event in many)):
            assert not (broken := outcome_breaks(outcome)), broken

    async def _given_up(self, event: Event, which: int, turns: int) -> None:
        waiting = asyncio.ensure_future(self._send(event, which))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})

    async def _look(self) -> list[str]:
        sid = self.session.sid
        if sid in {sleeper.sid for sleeper in self.rig.manager.asleep()}:
            return []
        if self.session.is_gone and not self.session.is_failed:
            self.session = await self._found()
        texts = await self._journal.records(sid, self._watch.rev)
        return self._watch.look(self.session, [Record.decode(text) for text in texts])

    async def _leave(self) -> None:
        """Whatever happened: the log is whole, and nothing of the process is left."""
        updates = [decode(text) for _, text in await self._journal.updates(self.session.sid, 0, 100_000)]
        assert [one["seq"] for one in updates] == list(range(1, len(updates) + 1)), "L1: the log has a hole"
        if self.session.is_ended:
            assert updates[-1]["kind"] == "session.ended", "L9: the end is the last event"
        assert self.rig.manager.live == (not self.session.is_ended), "C3: what is live is counted"
        await self.rig.manager.shutdown(SHUTDOWN_S)
        assert len(self.rig.manager.clock) == 0, "C3: timers are left"


def lifecycle_state_machine(lifecycle: Lifecycle, kind: str = "") -> type[LifecycleStateMachine]:
    """The class for one file; its .TestCase is what pytest runs. kind: whose events are sent, the root's if nothing is
    said. Events go to live actors of that kind; everything else happens to the whole session."""
    trouble, kind = Trouble(), kind or lifecycle.root
    event, which = events(lifecycle.spec, kind), st.integers(0, ACTORS_MAX - 1)
    draws: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "send": {"event": event, "which": which},
        "send_at_once": {"many": st.lists(event, min_size=2, max_size=BURST_MAX), "which": which},
        "send_and_give_up": {"event": event, "which": which, "turns": st.integers(0, TURNS_MAX)},
        "wait": {"seconds": waits(lifecycle.spec)},
        "make_trouble": {"one": troubles(lifecycle), "times": st.integers(1, TIMES_MAX)},
    }
    made: Any = rule  # its types know of no arguments that are given by name only
    rules = {name: made(**given)(getattr(LifecycleStateMachine, name)) for name, given in draws.items()}
    for name in ("send", "send_at_once", "send_and_give_up", "wait", "make_trouble"):
        rules[name] = precondition(lambda self: not self.session.is_ended)(rules[name])  # what has ended is left soon
    members = {"lifecycle": troubled(lifecycle, trouble), "kind": kind, "trouble": trouble, **rules}
    return type(f"{lifecycle.spec.name}_{kind}", (LifecycleStateMachine,), members)
