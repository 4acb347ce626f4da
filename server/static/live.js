// One session that this page follows: its connection, what was built from its log, and what a person began to write.

import { Experiments } from "./breaking.js";
import { Client } from "./client.js";
import * as sessions from "./sessions.js";
import { Store } from "./store.js";

const SOCKET = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/ws`;

/** Events: `frame` (detail: one that was applied), `status` (detail: as the client's), `fault` (detail: text). */
export class Live extends EventTarget {
  /** entry: as sessions.js keeps it. One without a welcome so far is asked for (again): rule 8 makes that safe. */
  constructor(entry) {
    super();
    this.entry = entry;
    this.store = new Store();
    this.experiments = new Experiments();
    this.status = { status: "new", text: "" };
    this.draft = "";
    this.problem = ""; // what became of the last thing a person did here, if it was not done
    this.create = entry.create ?? null;
    this.client = new Client({ url: SOCKET, token: entry.token, create: this.create, auth: this.create ? sessions.key() : null, role: entry.role });
    this.client.addEventListener("frame", ({ detail }) => this.#frame(detail));
    this.client.addEventListener("status", ({ detail }) => this.#status(detail));
    this.client.addEventListener("fault", ({ detail }) => this.#emit("fault", detail));
  }

  get isOver() {
    return this.store.ended !== null || this.status.status === "stopped";
  }

  get mayAct() {
    return this.entry.role === "control" && !this.isOver;
  }

  start() {
    sessions.keep(this.entry);
    this.client.start();
  }

  #frame(frame) {
    this.store.apply(frame);
    this.experiments.see(frame, this.store);
    if (frame.t === "welcome" && this.entry.create) sessions.keyFits();
    if (frame.t === "welcome") this.#known({ sid: frame.sid, state: frame.state, create: undefined });
    if (frame.t === "ev" && frame.kind === "session.state") this.#known({ state: frame.data.to });
    if (frame.t === "snap") this.#known({ state: this.store.state, isOver: this.store.ended !== null });
    if (frame.t === "ev" && frame.kind === "session.ended") this.#known({ isOver: true });
    this.#emit("frame", frame);
  }

  #known(more) {
    Object.assign(this.entry, more);
    sessions.keep(this.entry);
  }

  #status(detail) {
    this.status = detail;
    this.#emit("status", detail);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
