"""What people do, and what goes wrong around a process: one function for each kind of step and of such a fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engine.simulation.faults import Fault
from engine.simulation.script import WAITS_S, Step

from .house import payload_of
from .person import Person
from .process import GRACE_S
from .world import World

CLOCK_STEP_S: Final = 7200.0
LATE_S: Final = (20.0, 30.0)  # within the usual window, and up to so much beyond
FLOOD: Final = 40
CROWD_MAX: Final = 16  # a limit above it is not tried: a crowd is not small any more
REPEATED_MAX: Final = 3


def take(world: World, step: Step) -> None:
    """One step: what goes wrong before it, the step itself, and what happens then."""
    world.look_at_start()
    if world.process is None:
        world.boot()
        world.run(turns=step.turns)
    fault = world.strikes.next("step")
    if fault is not None:
        FAULTS[fault.kind](world, fault)
    STEPS[step.kind](world, step)
    world.run(turns=step.turns)
    world.read()
    world.look()


def _who(world: World, number: int) -> Person:
    return world.people[number % len(world.people)]


def _dial(world: World, person: Person) -> None:
    if person.away_until <= world.now:
        world.connect(person)


def _says(world: World, step: Step) -> None:
    person = _who(world, step.who)
    if not person.has_line:
        _dial(world, person)
    if events := world.house.events_of("client"):
        name, event = events[int(step.amount * len(events))]
        world.tell(f"{person.name} says {name}")
        person.say(name, payload_of(event, len(person.said)))


def _says_again(world: World, step: Step) -> None:
    _who(world, step.who).repeat(1 + int(step.amount * REPEATED_MAX))


def _dials(world: World, step: Step) -> None:
    person = _who(world, step.who)
    if not person.has_line or step.amount < 0.3:
        _dial(world, person)


def _hangs_up(world: World, step: Step) -> None:
    person = _who(world, step.who)
    world.tell(f"{person.name} hangs up")
    person.hang_up()


def _observes(world: World, step: Step) -> None:
    world.connect(world.watchers[step.who % len(world.watchers)])


def _asks_as_admin(world: World, step: Step) -> None:
    events, sids = world.house.events_of("admin"), list(world.disk.written)
    if events and sids:
        name, event = events[int(step.amount * len(events))]
        world.ask_as_admin(sids[step.who % len(sids)], name, payload_of(event, step.who))


def _tries_foreign_token(world: World, step: Step) -> None:
    """L12: whoever has no token is turned away, whatever else goes on."""
    stranger = world.person("stranger", world.new_token(), "observe")
    world.connect(stranger)
    world.run(turns=step.turns)
    stranger.read()
    if stranger.is_welcome:
        world.breaks("L12", "a foreign token was let in")
    stranger.hang_up()


def _waits(world: World, step: Step) -> None:
    seconds = WAITS_S[int(step.amount * len(WAITS_S))]
    world.tell(f"{seconds:g} s pass")
    world.wait(seconds)


# Faults. Whose: by the amount.


def _whose(world: World, fault: Fault) -> Person:
    return _who(world, int(fault.amount * 8))


def _is_told_to_leave(world: World, fault: Fault) -> None:
    """L13: on SIGTERM everybody who can hear it is told, and the process is gone within its grace."""
    process = world.process
    if process is None or not process.is_up:
        return
    world.strikes.reach(fault.kind)
    told = {person: person.goaways for person in world.people if person.is_welcome and process.serves(person.line)}
    leaving = process.leave()
    world.wait(2 * GRACE_S)
    if world.process is None:
        return  # it died on its way out
    if not leaving.done():
        world.breaks("L13", f"the process is still there {2 * GRACE_S:g} s after it was told to leave")
    for person, before in told.items():
        if person.goaways == before and not person.is_over and person.close != 4501:
            world.breaks("L13", f"{person.name} was not told that the server leaves")
    world.note_errors(process)
    world.lose_process()


def _clock_steps(world: World, fault: Fault) -> None:
    by_s = (fault.amount - 0.5) * 2 * CLOCK_STEP_S
    world.clock_off_s += by_s
    world.strikes.reach(fault.kind, f"{by_s:+.0f} s")


def _is_cut(world: World, fault: Fault) -> None:
    person = _whose(world, fault)
    if person.has_line:
        world.strikes.reach(fault.kind, person.name)
        person.hang_up()


def _freezes(world: World, fault: Fault) -> None:
    person = _whose(world, fault)
    if person.line is not None and person.has_line:
        world.strikes.reach(fault.kind, person.name)
        person.line.is_frozen = True
        world.frozen.append((person.name, person.line, world.now))
        person.lost()


def _dials_twice(world: World, fault: Fault) -> None:
    person = _whose(world, fault)
    _dial(world, person)
    first = person.line
    _dial(world, person)
    if first is not None and person.line is not first:
        world.strikes.reach(fault.kind, person.name)


def _comes_back_late(world: World, fault: Fault) -> None:
    person = _whose(world, fault)
    if person.sid:
        seconds = LATE_S[0] + fault.amount * LATE_S[1]
        world.strikes.reach(fault.kind, person.name)
        person.hang_up()
        person.away_until = world.now + seconds
        world.wait(seconds)


def _asker_gives_up(world: World, fault: Fault) -> None:
    """M6: what was asked for goes on, whole or not at all; whoever comes later finds it so."""
    _asks_as_admin(world, Step("ask as admin", int(fault.amount * 8), fault.amount, None))
    world.run(turns=int(fault.amount * 10))
    waiting = [task for _, task in world.asked if not task.done()]
    if waiting:
        world.strikes.reach(fault.kind)
        waiting[-1].cancel()


def _floods(world: World, fault: Fault) -> None:
    person, events = _whose(world, fault), world.house.events_of("client")
    if person.is_welcome and events:
        world.strikes.reach(fault.kind, person.name)
        name, event = events[int(fault.amount * len(events))]
        for number in range(FLOOD):
            person.say(name, payload_of(event, number))


def _crowd(world: World, fault: Fault) -> None:
    """C6: as many sessions as may live, and no more, however many are wanted at once."""
    live = world.house.root.limits.live
    if world.process is None or not world.process.is_up or live is None or live > CROWD_MAX:
        return
    world.strikes.reach(fault.kind)
    for number in range(live + 1):
        world.connect(world.person(f"g{number}", world.new_token()))
        world.run(turns=3)


STEPS: Final[Mapping[str, Callable[[World, Step], None]]] = {
    "say": _says,
    "say again": _says_again,
    "dial": _dials,
    "hang up": _hangs_up,
    "observe": _observes,
    "ask as admin": _asks_as_admin,
    "try a foreign token": _tries_foreign_token,
    "wait": _waits,
}
FAULTS: Final[Mapping[str, Callable[[World, Fault], None]]] = {
    "process is told to leave": _is_told_to_leave,
    "clock steps": _clock_steps,
    "connection is cut": _is_cut,
    "connection freezes": _freezes,
    "client dials twice": _dials_twice,
    "client comes back late": _comes_back_late,
    "asker gives up": _asker_gives_up,
    "client floods": _floods,
    "crowd": _crowd,
}
