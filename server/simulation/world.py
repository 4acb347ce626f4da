"""One history from its first step to the verdict: people, processes that come and go, and a disk that stays."""

from __future__ import annotations

import asyncio
import base64
import random
from typing import Any, Final, Literal

from engine.records import ROOT, Caller, Outcome
from engine.simulation import checks
from engine.simulation.checks import Broken, Evidence
from engine.simulation.disk import Disk, SimulatedJournal
from engine.simulation.faults import Fault, Strikes
from engine.simulation.loop import SimulatedLoop
from engine.simulation.script import Script, stream
from engine.simulation.story import Story

from . import judging
from .house import House
from .line import Line
from .person import Person
from .process import SWEEP_S, Process
from .result import Result, digest

BEGIN_UTC: Final = 1_800_000_000.0
TURNS_MAX: Final = 60_000  # of one wait; a history that needs more goes round in circles
STARTS_MAX: Final = 30  # a store may stall for most of a minute
START_S: Final = 2.0
READ_S: Final = 5.0  # people look at their connections so often while time passes
SLEEP_S_MAX: Final = 10.0
DEAD_S: Final = 25.0 + 2 * SWEEP_S + 1.0  # when a dead peer has to be detached
ADMIN: Final = Caller("admin", frozenset({"admin"}))


class Stuck(Exception):
    """The loop turns without time passing, or no process comes up."""


class Sleeper:
    """A process that stood still, as on a machine that was suspended, and goes on beside its successor (L6)."""

    def __init__(self, process: Process, wakes_at: float) -> None:
        self._process = process
        self._wakes_at = wakes_at
        self._is_awake = False

    def go_on(self, world: World, turns: int) -> None:
        if world.now < self._wakes_at:
            return
        if not self._is_awake:
            self._is_awake = True
            world.strikes.reach("process sleeps through its successor")
        self._process.loop.run(world.now, turns)

    def kill(self) -> None:
        self._process.kill()


class World:
    """What a script is played on. failures: what the engine logs as its own, written by whoever listens.

    process: None while none runs. sleeper: one that stands still while its successor runs. frozen: lines of peers that
    are dead, and since when. asked: what an administrator waits for.
    """

    def __init__(self, house: House, script: Script, failures: list[str], story: Story | None = None) -> None:
        self.house = house
        self.script = script
        self.failures = failures
        self.strikes = house.sabotage.strikes = Strikes(script.faults)
        self.broken: list[Broken] = []
        self.disk = Disk(story.written if story is not None else None)
        self.process: Process | None = None
        self.sleeper: Sleeper | None = None
        self.frozen: list[tuple[str, Line, float]] = []
        self.asked: list[tuple[str, asyncio.Task[Outcome]]] = []
        self.now = 0.0
        self.turns = 0
        self.clock_off_s = 0.0
        self._story = story
        if story is not None:
            story.at, self.strikes.tell = self._time, story.tell
        self._schedule, self._ids = stream(script.seed, 2), stream(script.seed, 3)
        self._deaths = self.strikes.all("turn")
        tokens = [self.new_token() for _ in range(script.terms.sessions)]
        self.people = [self.person(f"p{n}", tokens[n % len(tokens)]) for n in range(script.terms.people)]
        self.watchers = [self.person(f"w{n}", token, "observe") for n, token in enumerate(tokens)]

    @property
    def everybody(self) -> list[Person]:
        return [*self.people, *self.watchers]

    def person(self, name: str, token: str, role: Literal["control", "observe"] = "control") -> Person:
        return Person(name, token, self.disk.durable, role)

    def new_token(self) -> str:
        return base64.urlsafe_b64encode(self._ids.randbytes(32)).decode().rstrip("=")

    def breaks(self, number: str, what: str) -> None:
        self.broken.append(Broken(number, what))

    def tell(self, text: str) -> None:
        if self._story is not None:
            self._story.tell(text)

    def _time(self) -> float:
        return self.process.loop.time() if self.process is not None else self.now

    # Processes.

    def boot(self) -> None:
        """Start a process on what is durable."""
        random.seed(self.script.seed)  # for handlers that draw from it
        loop = SimulatedLoop(self._schedule.random if self.script.terms.is_shuffled else None, self.now)  # type: ignore[abstract]
        journal = SimulatedJournal(self.disk, self.strikes, self.script.terms.latency_s)
        self.process = Process(
            self.house.machines, self.house.services(), loop, journal, self.script.terms, self._ids, self._utc
        )
        self.tell("a process starts")
        self.process.start()

    def _utc(self) -> float:
        return BEGIN_UTC + self.now + self.clock_off_s

    def come_up(self) -> Process:
        """A process that serves, however often it takes: one that finds a failing store says so and ends."""
        for _ in range(STARTS_MAX):
            if self.process is None:
                self.boot()
            self.run(START_S)
            if self.process is not None and self.process.is_up:
                return self.process
            self.look_at_start()
        raise Stuck("no process comes up on a healthy store")

    def look_at_start(self) -> None:
        """A process whose start has failed is gone."""
        process = self.process
        if process is not None and process.starting.done() and (error := process.starting.exception()) is not None:
            self.tell(f"it does not come up: {error}")
            self.lose_process()

    def lose_process(self, *, is_torn: bool = False) -> int:
        """It is gone, and with it all connections; see Process.kill."""
        assert self.process is not None
        process, self.process = self.process, None
        noted = len(self.failures)
        torn = process.kill(is_torn=is_torn)
        del self.failures[noted:]  # what code says while it is unwound, in a process that is gone
        for person in self.everybody:
            person.lost()
        self.frozen.clear()
        self.asked.clear()
        return torn

    # Time.

    def run(self, seconds: float = 0.0, turns: int | None = None) -> None:
        """Let things happen; a process that dies meanwhile is missing afterwards."""
        process = self.process
        if process is None:
            self.now += seconds
            return
        most = TURNS_MAX if turns is None else turns
        death = self._deaths[0] if self._deaths else None
        to_death = max(0, death.at - self.turns) if death is not None else TURNS_MAX
        before = process.loop.turns
        is_over = process.loop.run(self.now + seconds, min(most, to_death))
        self.turns += process.loop.turns - before
        self.now = process.loop.time()
        if self.sleeper is not None:
            self.sleeper.go_on(self, most)
        if not is_over and death is not None and to_death <= most:
            self._die(self._deaths.pop(0))
        elif not is_over and turns is None:
            raise Stuck(f"something went on for {TURNS_MAX} turns of the loop within {seconds:g} s")

    def _die(self, fault: Fault) -> None:
        if fault.kind == "process sleeps through its successor":
            self._fall_asleep(fault)
            return
        torn = self.lose_process(is_torn=fault.kind == "store tears the last write")
        self.strikes.reach("store tears the last write" if torn else "process dies")

    def _fall_asleep(self, fault: Fault) -> None:
        """As a machine does that swaps or is suspended: its connections stay, and it knows nothing of it (L6)."""
        if self.sleeper is None and self.process is not None and self.process.is_up:
            self.sleeper, self.process = Sleeper(self.process, self.now + fault.amount * SLEEP_S_MAX), None
            self.frozen.clear()
            self.asked.clear()
            self.tell("the process stands still, and another is started")

    def wait(self, seconds: float) -> None:
        """Let time pass, with people who read and answer pings."""
        until = self.now + seconds
        while self.now < until:
            self.run(min(READ_S, until - self.now))
            self.read()
            if self.process is None:
                return

    def read(self) -> None:
        for person in self.everybody:
            person.read()

    def disarm(self) -> None:
        """Nothing goes wrong from now on."""
        if self.sleeper is not None:
            self.sleeper.kill()
            self.sleeper = None
        self.strikes.disarm()
        self._deaths.clear()
        self.tell("nothing goes wrong from now on")

    # What people do.

    def connect(self, person: Person) -> None:
        """person dials, if anybody listens."""
        line = self.process.accept() if self.process is not None else None
        if line is not None:
            self.tell(f"{person.name} dials")
            person.dial(line, creates=True)

    def ask_as_admin(self, sid: str, name: str, payload: dict[str, Any]) -> None:
        if self.process is None or not self.process.is_up:
            return
        self.tell(f"an administrator asks {sid[:8]} for {name}")
        work = self.process.manager.send(sid, to=ROOT, name=name, payload=payload, origin="admin", caller=ADMIN)
        self.asked.append((name, self.process.loop.create_task(work)))

    # What holds at any time, and in the end.

    def look(self) -> None:
        process = self.process
        if process is None:
            return
        live, most = process.manager.live, self.house.root.limits.live
        if most is not None and live > most:
            self.breaks("C6", f"{live} sessions live, and {most} may")
        if len(process.live_keys) != len(set(process.live_keys)):
            self.breaks("L7", "one client has two live sockets")
        for name, line, since in self.frozen:
            if self.now - since > DEAD_S and not line.is_closing():
                self.breaks("L10", f"{name} is dead since {self.now - since:.0f} s and still attached")

    def note_errors(self, process: Process) -> None:
        """What the loop of a process would have logged."""
        for context in process.loop.errors:
            self.breaks("M3", f"{context['message']}: {context.get('exception')!r}")

    def verdict(self) -> Result:
        """Every invariant, asked of what is left."""
        for one in (self.sleeper, self.process):
            if one is not None:
                one.kill()
        self.broken += [Broken("M3", what) for what in self.failures]
        self.broken += [Broken("M4", what) for what in self.house.sabotage.late]
        self.failures.clear()
        self.house.sabotage.late.clear()
        lives = {sid: self._evidence(sid) for sid in self.disk.written}
        self.broken += judging.judge(self.everybody, lives)
        self.broken += [broken for life in lives.values() for broken in checks.judge(life)]
        strikes = self.strikes
        return Result(self.script, digest(self), self.broken, strikes.reached, strikes.failed, self.turns)

    def _evidence(self, sid: str) -> Evidence:
        told = (judging.outcomes_of(person) for person in self.people if person.sid == sid)
        return Evidence(
            sid,
            self.house.plans,
            self.disk.written[sid],
            self.disk.session(sid),
            self.disk.records(sid, 0, None),
            outcomes={key: frame for outcomes in told for key, frame in outcomes.items()},
        )
