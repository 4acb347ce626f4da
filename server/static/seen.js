// What a session's log says up to a number: where everybody is, what was said, what is asked. Built from its events,
// one by one, and from nothing else.

const MESSAGES_MAX = 1_000; // of what was said; the log has the rest
const STATE_KINDS = { "session.state": "session", "orchestrator.state": "orchestrator", "agent.state": "agent" };
const TOLD = { "person.message": "person", "agent.tool": "tool", "agent.handoff": "handoff" };

export class Seen {
  constructor() {
    this.forget();
  }

  forget() {
    this.seq = 0; // the last number that is in it
    this.actors = new Map(); // path -> {path, kind, state, since, event}
    this.last = {}; // kind of machine -> the last transition {actor, from, to, event, seq}
    this.messages = []; // agent.message, what people said, tools, questions, in order
    this.streams = new Map(); // msg -> {agent, text}: answers that are still being written
    this.requests = new Map(); // request -> {request, agent, prompt}
    this.fen = null;
    this.move = null;
    this.result = null;
    this.report = null;
    this.stuck = null; // the report of a clean-up that a person had to help
    this.ended = null;
    this.gone = new Set(); // orchestrators that have ended: one that starts again starts from nothing
  }

  /** One of its own: what is seen later changes only one of the two. */
  copy() {
    const made = new Seen();
    for (const name of Object.keys(made)) made[name] = structuredClone(this[name]);
    return made;
  }

  get state() {
    return this.actors.get("/")?.state ?? (this.ended ? "terminated" : "…");
  }

  /** The path of the agent that is called name, or of the orchestrator. */
  pathOf(name) {
    for (const path of this.actors.keys()) if (path.split("/").at(-1) === name) return path;
    return null;
  }

  agents() {
    return [...this.actors.values()].filter((actor) => actor.kind === "agent");
  }

  /** The next event of the log. */
  see(frame) {
    const { kind, data, seq } = frame;
    this.seq = seq;
    if (STATE_KINDS[kind]) this.#moved(STATE_KINDS[kind], frame);
    else if (kind === "session.ended") this.#ended(data);
    else if (kind === "cleanup.report" && data.actor === "/") this.stuck = data.report;
    else if (kind === "agent.message") this.#message(frame);
    else if (TOLD[kind]) this.#tell({ ...data, type: TOLD[kind], seq, ts: frame.ts });
    else if (kind === "input.request") this.#asked(frame);
    else if (kind === "input.response") this.#answered(data);
  }

  /** Everything anew from what a snapshot says of the log up to seq: its events were trimmed away. */
  replace(seq, data) {
    this.forget();
    const told = new Map([...(data.requests ?? []), ...(data.messages ?? [])].map((event) => [event.seq, event]));
    for (const event of [...told.values()].sort((one, other) => one.seq - other.seq)) this.see(event);
    for (const { actor, kind, state, since, event } of data.actors ?? []) {
      this.actors.set(actor, { path: actor, kind, state, since, event });
    }
    this.requests = new Map((data.requests ?? []).map((event) => [event.data.request, event.data]));
    if (data.ended) this.#ended(data.ended);
    this.seq = seq;
  }

  #moved(kind, { data, seq, ts }) {
    const path = data.actor ?? "/";
    this.last[kind] = { actor: path, from: data.from, to: data.to, event: data.event, seq };
    this.actors.set(path, { path, kind, state: data.to, since: ts, event: data.event, isLast: data.final === true });
    if (data.final) this.#strike(path, data);
    if (kind !== "orchestrator") return;
    if (data.to === "stopped") this.gone.add(path);
    else if (this.gone.delete(path)) {
      this.#tell({ type: "anew", text: "The team was built again, and begins anew.", seq, ts });
      Object.assign(this, { fen: null, move: null, result: null });
    }
  }

  /** An actor's last: what is below it is gone. Who came to an end of its own stays there; who was given up is nowhere. */
  #strike(path, { from, to }) {
    const below = path === "/" ? "/" : `${path}/`;
    for (const [other, { isLast }] of this.actors) {
      const isGone = other === path ? from === to : other.startsWith(below) && !isLast;
      if (isGone) this.actors.delete(other);
    }
  }

  #asked({ data, seq, ts }) {
    this.requests.set(data.request, data);
    this.#tell({ type: "request", seq, ts, ...data });
  }

  #answered(data) {
    this.requests.delete(data.request);
    const asked = this.messages.findLast((one) => one.type === "request" && one.request === data.request);
    if (asked) asked.how = data.how;
  }

  #message({ data, seq, ts }) {
    if (data.msg !== undefined) this.streams.delete(data.msg);
    this.#tell({ type: "message", seq, ts, ...data });
    if (data.fen) {
      this.fen = data.fen;
      this.move = data.uci;
    }
    if (data.result) this.result = data;
  }

  #tell(message) {
    this.messages.push(message);
    if (this.messages.length > MESSAGES_MAX) this.messages.shift();
  }

  #ended(data) {
    this.ended = data;
    this.report = data.report ?? null;
    this.requests.clear();
    this.streams.clear();
  }
}
