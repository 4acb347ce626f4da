// What one session looks like from here: built from its log, event by event, and from nothing else.

const EVENTS_MAX = 5_000; // kept for the log view; the server has the rest
const MESSAGES_MAX = 1_000; // of what was said; the log has the rest
const STATE_KINDS = { "session.state": "session", "orchestrator.state": "orchestrator", "agent.state": "agent" };

const TOLD = { "person.message": "person", "agent.tool": "tool", "agent.handoff": "handoff" };

/** One session. apply() takes frames in order; `changed` is dispatched with the frame that did it. */
export class Store extends EventTarget {
  constructor() {
    super();
    this.clear();
  }

  clear() {
    this.sid = null;
    this.events = [];
    this.dropped = 0;
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

  apply(frame) {
    const handle = this[`_${frame.t}`];
    if (handle === undefined) return;
    handle.call(this, frame);
    this.dispatchEvent(new CustomEvent("changed", { detail: frame }));
  }

  _begin() {
    this.clear();
  }

  _welcome(frame) {
    this.sid = frame.sid;
    this.head = frame.head;
    this.windowMs = frame.window_ms ?? null;
    // What was being written is sent again from its beginning.
    this.streams.clear();
  }

  /** Replaces everything built so far. */
  _snap(frame) {
    const { sid, head, windowMs, events, dropped } = this;
    this.clear();
    Object.assign(this, { sid, head, windowMs, events, dropped });
    for (const actor of frame.data.actors ?? []) {
      this.actors.set(actor.actor, { path: actor.actor, kind: actor.kind, state: actor.state, since: null });
    }
    for (const request of frame.data.requests ?? []) this.requests.set(request.request, request);
    for (const message of frame.data.messages ?? []) this.#message({ data: message, seq: message.seq, ts: message.ts });
    this.report = frame.data.report ?? null;
    for (const request of this.requests.values()) this.#tell({ type: "request", ...request });
  }

  _note({ kind, data }) {
    if (kind !== "agent.chunk") return;
    if (data.at === 0 && data.text === "") {
      this.streams.delete(data.msg); // taken back
      return;
    }
    const stream = this.streams.get(data.msg) ?? { msg: data.msg, agent: data.agent ?? "", text: "" };
    const known = Array.from(stream.text); // `at` counts characters, not the halves that JavaScript counts
    if (data.at > known.length) return; // a piece before it is still to come
    stream.text = known.slice(0, data.at).join("") + data.text;
    if (data.agent) stream.agent = data.agent;
    this.streams.set(data.msg, stream);
  }

  _ev(frame) {
    this.events.push(frame);
    if (this.events.length > EVENTS_MAX) {
      this.events.shift();
      this.dropped += 1;
    }
    const { kind, data } = frame;
    if (STATE_KINDS[kind]) this.#moved(STATE_KINDS[kind], frame);
    else if (kind === "session.ended") this.#ended(data);
    else if (kind === "cleanup.report" && data.actor === "/") this.stuck = data.report;
    else if (kind === "agent.message") this.#message(frame);
    else if (TOLD[kind]) this.#tell({ ...data, type: TOLD[kind], seq: frame.seq, ts: frame.ts });
    else if (kind === "input.request") {
      this.requests.set(data.request, data);
      this.#tell({ type: "request", seq: frame.seq, ts: frame.ts, ...data });
    } else if (kind === "input.response") {
      this.requests.delete(data.request);
      const asked = this.messages.findLast((one) => one.type === "request" && one.request === data.request);
      if (asked) asked.how = data.how;
    }
  }

  #moved(kind, { data, seq, ts }) {
    const path = data.actor ?? "/";
    this.last[kind] = { actor: path, from: data.from, to: data.to, event: data.event, seq };
    this.actors.set(path, { path, kind, state: data.to, since: ts, event: data.event });
    if (kind !== "orchestrator") return;
    if (data.to === "stopped") this.gone.add(path);
    else if (this.gone.delete(path)) {
      this.#tell({ type: "anew", text: "The team was built again, and begins anew.", seq, ts });
      Object.assign(this, { fen: null, move: null, result: null });
    }
  }

  #tell(message) {
    this.messages.push(message);
    if (this.messages.length > MESSAGES_MAX) this.messages.shift();
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

  #ended(data) {
    this.ended = data;
    this.report = data.report ?? null;
    this.requests.clear();
    this.streams.clear();
  }
}
