"""Whether an image is that of a session which these machines could have made: its tree, its end, its mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ..errors import NotOurs, Refused
from ..language.reception import accept
from ..plan import KindPlan
from ..records import ROOT, Event
from ..steps.family import CHILD_ID
from .foreign import read_child_ended
from .state import ActorImage, SessionImage

Plans = Mapping[str, KindPlan]


def require_plausible(image: SessionImage, plans: Plans, *, is_ended: bool) -> None:
    """Raises NotOurs. The image has been read strictly, and all its states are in plans."""
    _require_tree(image.actors, plans)
    _require_end(image.actors, plans, is_ended=is_ended)
    for actor in image.actors.values():
        _require_ids([event.id for event in actor.deferred])
        _require_taken(plans[actor.kind], actor.deferred)
    for message in image.pending.values():
        _require_ids([message.event.id])
        if (receiver := image.actors.get(message.to)) is not None and not _is_child_ended(message.event):
            _require_taken(plans[receiver.kind], [message.event])


def _require_tree(actors: Mapping[str, ActorImage], plans: Plans) -> None:
    """Parents come before their children, and own so many of their kind."""
    before: dict[str, ActorImage] = {}
    owned: Counter[tuple[str, str]] = Counter()
    for actor in actors.values():
        if actor.parent is None:
            if actor.path != ROOT or not plans[actor.kind].is_root:
                raise NotOurs(f"{actor.path} ({actor.kind}) is nobody's, and no root")
        else:
            _require_child(actor, before.get(actor.parent), plans)
            owned[actor.parent, actor.kind] += 1
        before[actor.path] = actor
    for (path, kind), count in owned.items():
        if count > (most := plans[actors[path].kind].owns[kind]):
            raise NotOurs(f"{path} owns {count} of {kind}; the lifecycle file allows {most}")


def _require_child(actor: ActorImage, parent: ActorImage | None, plans: Plans) -> None:
    if parent is None:
        raise NotOurs(f"the parent of {actor.path} is not there, or comes later")
    above, _, name = actor.path.rpartition("/")
    if (above or ROOT) != parent.path or CHILD_ID.fullmatch(name) is None:
        raise NotOurs(f"{actor.path} is no name of a child of {parent.path}")
    if actor.kind not in plans[parent.kind].owns:
        raise NotOurs(f"a {parent.kind} owns no {actor.kind}")


def _require_end(actors: Mapping[str, ActorImage], plans: Plans, *, is_ended: bool) -> None:
    for actor in actors.values():
        is_final = plans[actor.kind].states[actor.state].is_final
        if is_final != (is_ended and actor.path == ROOT):
            what = "has ended" if is_ended else "has not ended"
            raise NotOurs(f"{actor.path} is in {actor.state}, which cannot be in a session that {what}")


def _require_ids(ids: list[str]) -> None:
    """By these an event counts once; without one it would come again with every restart."""
    if not all(ids) or len(set(ids)) < len(ids):
        raise NotOurs("an event that waits has no id of its own")


def _is_child_ended(event: Event) -> bool:
    if event.name != "child_ended" or event.origin != "engine":
        return False
    read_child_ended(event.payload)
    return True


def _require_taken(plan: KindPlan, events: Iterable[Event]) -> None:
    for event in events:
        try:
            accept(plan, event.name, event.payload, event.origin)
        except Refused as refused:
            raise NotOurs(f"an event waits that would not be taken: {refused.message}") from None
