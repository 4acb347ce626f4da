"""One history: the script is played, then nothing goes wrong any more, everybody comes back, and everything ends."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.log.state import fold
from engine.records import Record
from engine.session import Session
from engine.simulation.script import Script
from engine.simulation.story import Story

from . import steps
from .house import House, payload_of
from .person import Person
from .process import GRACE_S, Process
from .result import Result
from .world import Stuck, World

ENDED: Final = 4500
BEGIN_S: Final = 0.1  # a healthy store lets a process come up in that time
PATIENCE_S: Final = 90.0  # a store that was away is asked again after half a minute; a time-out may have to pass first
LOOK_S: Final = 10.0
ROUNDS_S: Final = (0.5, *(30.0,) * 12)  # in which time and an administrator bring everything to its end


def play(house: House, script: Script, failures: list[str], story: Story | None = None) -> Result:
    """What became of one script. failures: see World."""
    world = World(house, script, failures, story)
    try:
        world.boot()
        world.run(BEGIN_S)
        world.connect(world.people[0])
        for step in script.steps:
            steps.take(world, step)
        world.disarm()
        world.come_up()
        _all_come_back(world)
        _compare_memory(world)
        _all_ends(world)
    except Stuck as stuck:
        world.breaks("M7", str(stuck))
    except AssertionError as bug:
        world.breaks("M3", f"an assertion of the engine does not hold: {bug}")
    return world.verdict()


def _all_come_back(world: World) -> None:
    """L8, M5: a healthy server welcomes everybody whose session has not ended, and answers what was asked."""
    came = [person for person in world.people if person.n]
    for person in came:
        person.hang_up()
        world.connect(person)
    world.wait(1.0)
    for person in came:
        _wait_for(world, person)
        if not person.is_welcome and person.close != ENDED:
            world.breaks("L8", f"{person.name} is not welcomed by a healthy server, but closed with {person.close}")
        elif person.is_welcome and person.unanswered:
            world.breaks("M5", f"{person.name} has no outcome of {', '.join(map(str, person.unanswered))}")


def _wait_for(world: World, person: Person) -> None:
    until = world.now + PATIENCE_S
    while (not person.is_welcome or person.unanswered) and person.close != ENDED and world.now < until:
        world.wait(LOOK_S)
        if not person.has_line and person.close != ENDED:
            world.connect(person)
            world.wait(1.0)


def _compare_memory(world: World) -> None:
    """M2: what is in memory is what the log says, once nothing is on its way."""
    assert world.process is not None
    for session in world.process.manager.sessions():
        if session.root is None or not _is_at_rest(session):
            continue
        image = fold(map(Record.decode, world.disk.records(session.sid, 0, None)))
        stored = {path: (one.state, one.activation) for path, one in image.actors.items()}
        memory = {path: (one.state, one.activation) for path, one in session.actors.items()}
        if stored != memory:
            world.breaks("M2", f"memory has {memory}, the log {stored}")


def _is_at_rest(session: Session) -> bool:
    is_settled = not session.is_failed and session.log.is_settled
    return is_settled and all(actor.is_at_rest for actor in session.actors.values())


def _all_ends(world: World) -> None:
    """An administrator and time end everything that lives (M7); then the process leaves, and nothing is left."""
    process = world.process
    assert process is not None
    for person in world.everybody:
        person.hang_up()
    for seconds in ROUNDS_S:
        live = [row.sid for row in world.disk.sessions() if row.ended_at is None]
        if not live:
            break
        for sid in live:
            _end(world, process, sid)
        world.run(seconds)
    _count(world, process)
    leaving = process.leave()
    world.run(2 * GRACE_S)
    if not leaving.done():
        world.breaks("L13", "a process with nothing to do does not leave")
    if left := sorted(task.get_name() for task in asyncio.all_tasks(process.loop)):
        world.breaks("C3", f"tasks are left: {left}")
    world.note_errors(process)


def _end(world: World, process: Process, sid: str) -> None:
    """Ask for the end of a session, or for whatever its quarantine lets an administrator do."""
    session = next((one for one in process.manager.sessions() if one.sid == sid), None)
    here = world.house.root.states[session.state] if session is not None else None
    names = (world.house.ways_out("admin") or world.house.ways_out("client"))[:1]
    if here is not None and here.is_quarantine:
        names = [name for name, _ in world.house.events_of("admin") if name in here.own]
    for name in names:
        world.ask_as_admin(sid, name, payload_of(world.house.root.events[name], 0))


def _count(world: World, process: Process) -> None:
    """C1, C3, M5: what was created has ended, what handlers opened is closed, and an administrator was answered."""
    manager = process.manager
    if manager.created != manager.finished + manager.live:
        world.breaks("C3", f"{manager.created} created, {manager.finished} final, {manager.live} live")
    own = 1 + any(plan.checks for plan in world.house.plans.values())  # of the upkeep, and of the health monitor
    if not manager.live and len(manager.clock) > own:
        world.breaks("C3", f"{len(manager.clock)} timers are armed, and nobody lives")
    is_open = [thing for thing in manager.services.get("alive", ()) if thing.is_open]
    if is_open and not manager.live and not manager.written_off_list:
        world.breaks("C1", f"{len(is_open)} things are still open, and nobody lives")
    for name, task in world.asked:
        if not task.done():
            world.breaks("M5", f"an administrator has no outcome of {name}")
