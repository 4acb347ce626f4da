"""Small lives made at random, with every mistake that the proofs look for; their handlers do nothing."""

from __future__ import annotations

import random
from typing import Any, Final

from engine.registry import Registry, action, check, guard, probe
from engine.spec import (
    CleanupEntry,
    EventDecl,
    Guard,
    Health,
    Machine,
    Reference,
    Spec,
    State,
    Step,
    Timer,
    Transition,
)

GUARDS: Final = ("is_open", "is_paid")
KIND: Final = "shop"


@action(acquires="desk")
def open_desk(ctx: Any) -> None: ...


@action(releases="desk")
def give_back(ctx: Any) -> None: ...


@action()
def close_desk(ctx: Any) -> None: ...


@action()
def work(ctx: Any) -> None: ...


@guard()
def is_open(ctx: Any) -> bool:
    return bool(ctx.ask("is_open"))


@guard()
def is_paid(ctx: Any) -> bool:
    return bool(ctx.ask("is_paid"))


@probe("desk")
def desk_is_gone(resource: Any) -> bool:
    return True


@check()
def stock(ctx: Any) -> str | None:
    return None


REGISTRY: Final = Registry.of(open_desk, give_back, close_desk, work, is_open, is_paid, desk_is_gone, stock)


def make(seed: int) -> Spec:
    return _Maker(random.Random(seed)).spec()


class _Maker:
    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.names = [f"s{number}" for number in range(source.randint(1, 3))]
        self.targets = [*self.names, "ending", "closed"]

    def spec(self) -> Spec:
        states = {name: self.state() for name in self.names}
        states["ending"] = self.ending()
        states["closed"] = State(final=True)
        if any(row.to == "stuck" for row in states["ending"].transitions.get("failed", ())):
            states["stuck"] = State(quarantine=True, transitions={"give_up": self.given_up()})
        machine = Machine(
            kind=KIND,
            initial="s0",
            states=states,
            events={"go": EventDecl(senders=("client",)), "give_up": EventDecl(senders=("admin",))},
            transitions={"failed": (Transition(to=self.target()),), **self.maybe("go", 0.3)},
            health=Health(every_s=10.0, checks=(Reference(name="stock"),)),
            cleanup=(CleanupEntry(release="desk", do=Step(ref=Reference(name="close_desk"))),),
        )
        return Spec(lifecycle=1, name="random", machines={KIND: machine})

    def state(self) -> State:
        run = tuple(self.step() for _ in range(self.source.choice((0, 1, 1, 2))))
        transitions = {**self.maybe("go", 0.4), **self.maybe("failed", 0.3), **self.maybe("unhealthy", 0.15)}
        if run:
            transitions |= self.maybe("done", 0.9)
        return State(run=run, after=self.timers(), transitions=transitions)

    def ending(self) -> State:
        run = [self.cleanup()]
        if self.source.random() < 0.15:
            run.insert(self.source.randrange(2), self.step())
        ends = {"done": (Transition(to="closed"),), "go": ()}
        targets = ("stuck", "stuck", "closed", "ending", *self.names)
        failed = (Transition(to=self.source.choice(targets)),)
        if self.source.random() < 0.15:
            ends["go"] = (Transition(do=(self.action(),)),)
        return State(run=tuple(run), transitions={**ends, "failed": failed, "unhealthy": ()})

    def given_up(self) -> tuple[Transition, ...]:
        do = (Step(ref=Reference(name="write_off")),) if self.source.random() < 0.7 else ()
        return (Transition(to="closed", do=do),)

    def timers(self) -> tuple[Timer, ...]:
        count = self.source.choice((0, 1, 1, 1, 2))
        lengths = sorted(self.source.sample((10, 20, 30), count))
        return tuple(Timer(seconds=float(s), text=f"{s}s", transitions=self.rows()) for s in lengths)

    def maybe(self, event: str, chance: float) -> dict[str, tuple[Transition, ...]]:
        return {event: self.rows()} if self.source.random() < chance else {}

    def rows(self) -> tuple[Transition, ...]:
        count = self.source.choice((1, 1, 1, 2, 2, 3))
        rows = [self.row(is_last=index == count - 1) for index in range(count)]
        return tuple(rows)

    def row(self, *, is_last: bool) -> Transition:
        to = self.target() if self.source.random() < 0.85 else None
        do = (self.action(),) if self.source.random() < 0.25 or to is None else ()
        return Transition(to=to, when=None if is_last and self.source.random() < 0.8 else self.guard(), do=do)

    def guard(self) -> Guard:
        one = Guard(op="ref", ref=Reference(name=self.source.choice(GUARDS)))
        return Guard(op="not", items=(one,)) if self.source.random() < 0.3 else one

    def target(self) -> str:
        return self.source.choice(self.targets)

    def action(self) -> Step:
        return Step(ref=Reference(name=self.source.choice(("open_desk", "give_back", "work", "work"))))

    def step(self) -> Step:
        if self.source.random() < 0.15:
            return self.cleanup(only=("desk",))
        timeout_s = 5.0 if self.source.random() < 0.7 else None
        return Step(ref=self.action().ref, timeout_s=timeout_s)

    def cleanup(self, **args: Any) -> Step:
        return Step(ref=Reference(name="cleanup", args=args))
