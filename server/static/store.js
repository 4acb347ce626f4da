// One session as it is now: what its frames say, and the events that it was built from as far as they are kept.

import { Seen } from "./seen.js";

const EVENTS_MAX = 5_000; // kept for the log view and the player; the server has the rest

/** apply() takes frames in order. base: what was seen before the first of events. */
export class Store extends Seen {
  constructor() {
    super();
    this.sid = null;
    this.head = 0;
    this.windowMs = null;
    this.#begun();
  }

  #begun() {
    this.events = [];
    this.dropped = 0;
    this.base = new Seen();
  }

  apply(frame) {
    this[`_${frame.t}`]?.(frame);
  }

  _begin() {
    this.forget();
    this.#begun();
  }

  _welcome(frame) {
    this.sid = frame.sid;
    this.head = frame.head;
    this.windowMs = frame.window_ms ?? null;
    // What was being written is sent again from its beginning.
    this.streams.clear();
  }

  /** Replaces everything built so far; the events before it are kept to be looked at. */
  _snap(frame) {
    this.replace(frame.seq, frame.data);
    this.base = this.copy();
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
      const gone = this.events.shift();
      this.dropped += 1;
      if (gone.seq > this.base.seq) this.base.see(gone);
    }
    this.see(frame);
  }
}
