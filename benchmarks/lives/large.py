"""A lifecycle file of many kinds with many states each, and sound."""

from __future__ import annotations

from collections.abc import Iterator


def large(kinds: int = 40, states: int = 40) -> str:
    """A tree of kinds, two to an owner; of each a chain of working and waiting states with ways across."""
    lines = ["lifecycle: 1", "name: large", "machines:"]
    for number in range(kinds):
        below = [child for child in (2 * number + 1, 2 * number + 2) if child < kinds]
        lines += _kind(number, below, states)
    return "\n".join(lines) + "\n"


def _kind(number: int, below: list[int], states: int) -> Iterator[str]:
    is_root = number == 0
    yield f"  k{number}:"
    if below:
        yield f"    owns: {{{', '.join(f'k{child}: 4' for child in below)}}}"
    yield from ("    initial: s0", "    events:")
    yield from (f"      e{event}: {{from: [{'client' if is_root else 'parent'}]}}" for event in range(4))
    if is_root:
        yield "      give_up: {from: [admin]}"
    ways = ["failed: ending"] + ["child_ended: ending"] * bool(below) + ["stop: ending"] * (not is_root)
    yield f"    transitions: {{{', '.join(ways)}}}"
    yield from ("    cleanup:", "      - {release: desk, do: close_desk}", "      - {release: lamp, do: put_out_lamp}")
    yield "    states:"
    working = states - (3 if is_root else 2)
    for state in range(working):
        yield from _state(state, working)
    refused = ", child_ended: []" if below else ""
    failed = "stuck" if is_root else "ended"
    yield f"      ending: {{run: [cleanup], transitions: {{done: ended, failed: {failed}{refused}}}}}"
    yield "      ended: {final: true}"
    if is_root:
        yield "      stuck: {quarantine: true, transitions: {give_up: {do: write_off, to: ended}}}"


def _state(number: int, working: int) -> Iterator[str]:
    following = f"s{number + 1}" if number + 1 < working else "ending"
    yield f"      s{number}:"
    if number % 2 == 0:
        yield "        run: [{cleanup: {only: [desk, lamp]}}, open_desk, light_lamp]"
        yield "        after: {20m: ending}"
        yield f"        transitions: {{done: {following}, e{number % 4}: s{number * 7 % working}}}"
    else:
        yield f"        after: {{1h: {following}}}"
        yield f"        transitions: {{e{number % 4}: [{{when: is_open, to: s{number * 5 % working}}}, {{do: look}}]}}"
