"""P3 and P4: what a command over a WebSocket costs, and an idle session."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, python

ECHO, ECHO_UV = "bare aiohttp echo", "bare aiohttp echo, uvloop"
OURS, OURS_UV = "steward serve", "steward serve, uvloop"

COMMANDS = Scenario(
    number="P3",
    name="wire",
    title="Durable commands over WebSockets, 50 connections x 4 in flight",
    about=(
        "A command is a frame, a guard, a transition, an fsynced commit, an event and a result; an echo is two frames. "
        "One server process, the load comes from another. By the clock, but for the server's own processor time."
    ),
    sides=(
        Side(ECHO, "reference", python("wire", "echo"), "loop", note="orjson, nothing durable"),
        Side(OURS, "ours", python("wire", "steward"), "loop"),
        Side(ECHO_UV, "reference", python("wire", "echo-uvloop"), "loop"),
        Side(OURS_UV, "ours", python("wire", "steward-uvloop"), "loop", note="not what it runs on by itself"),
        Side("Node ws echo", "peer", python("wire", "ws"), "node", note="nothing durable"),
    ),
    measures=(
        Measure("commands_s", "commands/s", "commands/s"),
        Measure("server_s", "server's time for one", "s"),
        Measure("p50_s", "p50", "s"),
        Measure("p99_s", "p99", "s"),
        Measure("half_p99_s", "p99 at half that load", "s"),
    ),
    bars=(
        Bar("0.3 of the bare echo", "commands_s", OURS, ECHO, at_least=0.3),
        Bar("0.3 of the bare echo, both on uvloop", "commands_s", OURS_UV, ECHO_UV, at_least=0.3),
        Bar("p99 under 50 ms at half that load", "half_p99_s", OURS, at_most=0.05),
    ),
)

SESSION = "an idle session of Steward"

IDLE = Scenario(
    number="P4",
    name="idle",
    title="Memory of an idle, connected session",
    about="What the server's resident memory grows by for each of 1,000 more, after the first 200. Agents not started.",
    sides=(
        Side("a bare aiohttp connection", "reference", python("idle", "bare")),
        Side(SESSION, "ours", python("idle", "steward"), note="with its session, log and buffers"),
    ),
    measures=(Measure("bytes", "memory", "bytes"),),
    bars=(Bar("at most 28 KiB", "bytes", SESSION, at_most=28 * 1024),),
)
