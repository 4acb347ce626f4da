"""A machine of forty states, as large lives look: chapters of steps, each with its own ways back and out."""

from __future__ import annotations

from typing import Any

from engine.spec import CleanupEntry, Guard, Limits, Machine, Reference, State, Step, Timer, Transition

CHAPTERS = ("order", "payment", "picking", "packing", "shipping", "refund")
STEPS = ("opening", "checking", "waiting", "working", "repairing", "closing")


def ref(name: str, **args: Any) -> Reference:
    return Reference(name=name, args=args)


def go(to: str, when: str | None = None, do: str | None = None) -> Transition:
    guard = Guard(op="ref", ref=ref(when)) if when else None
    return Transition(to=to, when=guard, do=(Step(ref=ref(do)),) if do else ())


def after(text: str, seconds: float, to: str) -> tuple[Timer, ...]:
    return (Timer(seconds=seconds, text=text, transitions=(go(to),)),)


def chapter(name: str, following: str) -> dict[str, State]:
    at = {step: f"{name}_{step}" for step in STEPS}
    run = (Step(ref=ref("prepare")), Step(ref=ref(f"do_{name}"), timeout_s=20))
    return {
        at["opening"]: State(run=run, transitions={"done": (go(at["checking"]),), "failed": (go(at["repairing"]),)}),
        at["checking"]: State(
            description="Somebody looks whether everything is there",
            transitions={"approve": (go(at["working"], "is_complete"), go(at["waiting"], do="ask"))},
            after=after("30m", 1800, at["waiting"]),
        ),
        at["waiting"]: State(transitions={"answer": (go(at["checking"]),)}, after=after("24h", 86400, at["closing"])),
        at["working"]: State(
            run=run,
            defer=("answer",),
            transitions={"done": (go(at["closing"]),), "failed": (go(at["repairing"], "may_retry"), go("stopping"))},
            after=after("10m", 600, at["repairing"]),
        ),
        at["repairing"]: State(run=run, transitions={"done": (go(at["working"]),), "failed": (go("stopping"),)}),
        at["closing"]: State(transitions={"next": (go(following, do="hand_over"),), "abort": (go("stopping"),)}),
    }


def forty() -> Machine:
    """Six chapters of six, and the four states around them."""
    states = {"starting": State(run=(Step(ref=ref("start")),), transitions={"done": (go("order_opening"),)})}
    for name, following in zip(CHAPTERS, (*(f"{name}_opening" for name in CHAPTERS[1:]), "stopping"), strict=True):
        states |= chapter(name, following)
    states |= {
        "stopping": State(
            run=(Step(ref=ref("cleanup")),), transitions={"done": (go("stopped"),), "failed": (go("stuck"),)}
        ),
        "stopped": State(final=True),
        "stuck": State(quarantine=True, transitions={"retry": (go("stopping"),), "write_off": (go("stopped"),)}),
    }
    return Machine(
        kind="shop",
        description="An order from the first click to the parcel at the door, and back again",
        initial="starting",
        states=states,
        limits=Limits(live=100, tasks=8),
        transitions={"cancel": (go("stopping"),), "limit_exceeded": (go("stopping"),), "note": (Transition(),)},
        cleanup=(CleanupEntry(release="parcel", do=Step(ref=ref("recall")), timeout_s=30),),
    )
