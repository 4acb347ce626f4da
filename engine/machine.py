"""LifecycleMachine: a real transitions.AsyncMachine of one kind, without the stock class's traps.

The engine's actors read its `plan`; the rest of the library (add_model, triggers, introspection, markup, diagrams)
reads states, events and transitions made from the same rows. The only door to transitions.
It does what the stock class does, with the differences that docs/transitions.md lists. (No `to_<state>()` whatever
auto_transitions says: the library's mixins always pass it on as True.)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import isawaitable
from typing import Any, Final

from transitions import MachineError
from transitions.core import listify
from transitions.extensions.asyncio import (
    AsyncCondition,
    AsyncEvent,
    AsyncEventData,
    AsyncMachine,
    AsyncState,
    AsyncTransition,
)

from . import turns
from .errors import StewardError
from .plain_model import ModelContext, PlainCondition, free_attribute
from .plan import Call, KindPlan, compile_plans
from .ready import MACHINE_PARTS, MADE, Noticing, Rest, Row, Stock, bound_to, call_all, is_true, row_of
from .registry import Registry
from .spec import Spec
from .turns import TAKEN

_SIGNATURE: Final = inspect.signature(AsyncMachine.__init__)


class LifecycleState(Noticing, AsyncState):
    """As the library's."""


class LifecycleTransition(Noticing, AsyncTransition):
    """Guards short-circuit; a failing on_enter leaves the model where it was."""

    def __init__(self, *args: Any, label: str | None = None, **kwargs: Any) -> None:
        """label: of the arrow in a GraphMachine's diagram."""
        super().__init__(*args, **kwargs)
        if label:
            self.label = label

    # The library's stubs declare its async overrides as such only in part.
    async def _eval_conditions(self, event_data: Any) -> bool:  # type: ignore[override]
        for condition in self.conditions:
            if not await condition.check(event_data):  # type: ignore[misc]
                return False
        return True

    async def _change_state(self, event_data: Any) -> None:  # type: ignore[override]
        source = event_data.machine.get_model_state(event_data.model).name
        try:
            await super()._change_state(event_data)
        except BaseException:
            machine = event_data.machine
            # A callback of on_enter may have triggered on: that transition was whole, and stays.
            if machine.get_model_state(event_data.model).name == self.dest:
                machine.set_state(source, event_data.model)
                event_data.update(source)
            raise


class LifecycleEvent(Noticing, AsyncEvent):
    """Nothing that a callback raises is swallowed, finalize callbacks included."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._attribute: str = self.machine.model_attribute
        self.ready: dict[Any, Row | None] = {}  # by the value of a model's state; None: the library's way

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ready": {}}  # a copy makes its own

    def add_transition(self, transition: Any) -> None:
        super().add_transition(transition)
        self.ready.clear()

    # Written out, though it is long: a call more costs 0.15 us, a sixth of the whole, where the loop of a hand-written
    # machine takes 0.41; a loop over rows 0.07, the machine's own attributes 0.05 each, arguments that are passed on
    # where there are none 0.2.
    async def trigger(self, model: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """At once, within the caller's task, where no callback can suspend and no trigger of the model is under way;
        else as the library does it."""
        attribute = self._attribute
        value = getattr(model, attribute)
        try:
            row = self.ready[value]
        except KeyError:
            row = self._make_ready(value)
        if row is None or (TAKEN and id(model) in TAKEN):
            return await AsyncEvent.trigger(self, model, *args, **kwargs)
        if args or kwargs:
            row = bound_to(row, args, kwargs)
        while row is not None:
            may, before, has_dest, dest, rest, row = row
            if may is not None and (answer := may()) is not True and not await is_true(answer):
                continue
            for call, is_async in before:
                if is_async:
                    await call()
                elif (done := call()) is not None and isawaitable(done):
                    await done
            if has_dest:
                setattr(model, attribute, dest)
            if rest is not None:
                await self._enter(model, dest, rest)
            return True
        return False

    async def _enter(self, model: Any, dest: Any, rest: Rest) -> None:
        attribute = self._attribute
        try:
            await call_all(rest.enter)
        except BaseException:
            if getattr(model, attribute) == dest:
                setattr(model, attribute, rest.source)
            raise
        await call_all(rest.after)

    def _make_ready(self, value: Any) -> Row | None:
        is_ours = type(self) is LifecycleEvent
        row = self.ready[value] = row_of(self, value, _STOCK) if is_ours else None
        MADE.note(self)
        return row

    async def _trigger(self, event_data: Any) -> Any:  # type: ignore[override]
        machine = self.machine
        event_data.state = machine.get_model_state(event_data.model)
        try:
            if self._is_valid_source(event_data.state):
                await self._process(event_data)
        except Exception as error:
            event_data.error = error
            if not machine.on_exception:
                raise
            await machine.callbacks(machine.on_exception, event_data)
        finally:
            await machine.callbacks(machine.finalize_event, event_data)
        return event_data.result


class LifecycleMachine(AsyncMachine):
    """AsyncMachine(…) takes what the stock class takes; from_plan() makes one of a compiled kind."""

    state_cls = LifecycleState  # type: ignore[assignment]  # the library's stubs name the nested one
    transition_cls = LifecycleTransition
    event_cls = LifecycleEvent

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.plan: KindPlan | None = None
        given = _SIGNATURE.bind(self, *args, **kwargs)
        given.arguments["auto_transitions"] = False
        super().__init__(*given.args[1:], **given.kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in MACHINE_PARTS:
            MADE.forget()
        super().__setattr__(name, value)

    @classmethod
    def from_plan(cls, plan: KindPlan, **kwargs: Any) -> LifecycleMachine:
        """A machine without models whose transitions are plan's rows: guards as conditions, `do` as before.

        kwargs: more of the constructor's, for subclasses: `graph_engine="mermaid"` of a GraphMachine.
        """
        machine = cls(
            model=None,
            states=[{"name": name, "final": state.is_final} for name, state in plan.states.items()],
            transitions=[one for name, state in plan.states.items() for one in _transitions(name, state.rows)],
            initial=plan.initial,
            send_event=True,
            name=plan.kind,
            **{"model_attribute": free_attribute(plan), **kwargs},
        )
        machine.plan = plan
        return machine

    def _add_trigger_to_model(self, trigger: str, model: Any) -> None:
        # As the library's, but of the function itself: a partial of a bound method takes 20 ns more.
        event: Any = self.events[trigger]
        self._checked_assignment(model, trigger, partial(type(event).trigger, event, model))
        self._add_may_transition_func_for_trigger(trigger, model)

    def add_transition(  # type: ignore[override]
        self, trigger: str, source: Any, dest: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Raises ValueError for a source or destination that is no state of the machine."""
        sources = [] if source == self.wildcard_all else listify(source)
        dests = [] if dest is None or dest == self.wildcard_same else [dest]
        for state in [*sources, *dests]:
            name = getattr(state, "name", state)
            if name not in self.states:
                raise ValueError(f"{self.name}transition {trigger!r} names {name!r}, which is no state")
        super().add_transition(trigger, source, dest, *args, **kwargs)

    @classmethod
    def _create_transition(cls, *args: Any, **kwargs: Any) -> Any:
        # As a mixin, GraphMachine brings a transition_cls of its own, which is not even asynchronous.
        is_ours = issubclass(cls.transition_cls, LifecycleTransition)
        return (cls.transition_cls if is_ours else LifecycleTransition)(*args, **kwargs)

    async def _can_trigger(self, model: Any, trigger: str, *args: Any, **kwargs: Any) -> bool:
        """What `may_<trigger>()` answers: the guards in order, up to the first False."""
        state, event = self.get_model_state(model), self.events.get(trigger)
        if event is None:
            return False
        data = AsyncEventData(state, event, self, model, args, kwargs)
        for transition in event.transitions.get(state.name, ()):
            data.transition = transition
            try:
                await self.callbacks([*self.prepare_event, *transition.prepare], data)
                if await transition._eval_conditions(data):
                    return True
            except Exception as error:
                data.error = error
                if not self.on_exception:
                    raise
                await self.callbacks(self.on_exception, data)
        return False

    @staticmethod
    async def await_all(callables: Iterable[Callable[[], Any]]) -> list[Any]:
        """One after another, in order: the next starts when the one before has ended well."""
        return [await one() for one in callables]

    async def cancel_running_transitions(self, model: Any, msg: str | None = None) -> None:
        """Nothing: triggers of a model take turns."""

    async def process_context(self, func: Any, model: Any) -> Any:
        return await turns.take(model, partial(self._process_async, func, model))


_METHODS: Final = (
    *("callbacks", "callback", "await_all", "process_context", "_process_async", "set_state"),
    *("get_state", "get_model_state", "resolve_callable"),
)
_STOCK: Final = Stock(
    LifecycleState,
    LifecycleTransition,
    AsyncCondition,
    tuple((name, getattr(LifecycleMachine, name)) for name in _METHODS),
)


class _Callback:
    """A step of a row's `do` as a callback of the library."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.__name__ = call.name

    def __call__(self, event_data: Any) -> Any:
        if self._call.bound is None:
            raise MachineError(f"the built-in step {self._call.name!r} needs an actor, not a plain model")
        return self._call.bound(ModelContext(event_data))


def _transitions(source: str, rows: Any) -> Iterable[dict[str, Any]]:
    for event, choices in rows.items():
        for row in choices:
            yield {
                "trigger": event,
                "source": source,
                "dest": row.to,
                "conditions": [PlainCondition(row)] if row.asks is not None else [],
                "before": [_Callback(call) for call in row.do],
            }


def compile_machines(spec: Spec, registry: Registry) -> dict[str, LifecycleMachine]:
    """One machine a kind, shared by all its actors, which are never added as models."""
    return {kind: LifecycleMachine.from_plan(plan) for kind, plan in compile_plans(spec, registry).items()}


def plan_of(machine: LifecycleMachine) -> KindPlan:
    """Raises StewardError if it is none of ours."""
    if machine.plan is None:
        raise StewardError(f"the machine {machine.name!r} was not compiled from a lifecycle file")
    return machine.plan


def only_root(plans: Mapping[str, KindPlan]) -> str:
    """The kind that is a session. Raises StewardError if there is not exactly one that nobody owns."""
    roots = [kind for kind, plan in plans.items() if plan.is_root]
    if len(roots) != 1:
        raise StewardError(f"which kind is a session? nobody owns any of: {', '.join(roots)}")
    return roots[0]
