// Break it: each button does harm, and its card tells what was noticed, which transition followed and how it ended.

import { el, showMs } from "./dom.js";
import { flatten } from "./report.js";

export const CUT_MS = 4_000; // long enough to see the session wait, far below its window
const HOME = new Set(["ready", "awaiting_input"]);
const HELD = ["files", "tasks"]; // what the leak leaves to the clean-up

export const WAYS = [
  { how: "cut", title: "Cut this connection", text: `The page loses its socket for ${CUT_MS / 1_000} s and dials again: no number may be missing.` },
  { how: "hang", title: "Hang an agent", text: "Its handler waits for ever. The time-out of the file ends it." },
  { how: "swallow", title: "Swallow cancellation", text: "Its handler ignores being cancelled. After the grace it is ended by force." },
  { how: "raise", title: "Raise in a handler", text: "An exception nobody expected. It becomes an event, not a crash." },
  { how: "leak", title: "Leak a file and a task", text: "Nobody closes them. The clean-up finds both at the end." },
  { how: "stick", title: "Leak a file that will not close", text: "The clean-up cannot close it: a cross in the report, and the session waits for you." },
  { how: "limit", title: "Exceed a limit", text: "Tasks without end. The agent is stopped and the team is built again." },
];

/** One thing that was broken: it reads the session's frames until the story is over. */
class Experiment {
  constructor(way, agent, path) {
    this.way = way;
    this.agent = agent;
    this.path = path;
    this.began = performance.now();
    this.isOver = false;
    this.hasBegun = false; // what the agent was at before is another story
    this.isOrphaned = false; // its agent has gone; what becomes of the session is the rest of the story
    this.steps = el("ol", { class: "steps" });
    this.mark = el("span", { class: "mark running", text: "…" });
    this.element = el(
      "details",
      { class: "experiment", open: true, data: { how: way.how, status: "running" } },
      el("summary", {}, this.mark, el("h4", { text: agent ? `${way.title}: ${agent}` : way.title })),
      this.steps,
    );
  }

  step(sort, text, seq = null) {
    const after = showMs(performance.now() - this.began);
    this.steps.append(
      el("li", { class: sort, data: { sort } }, el("span", { class: "when", text: seq === null ? after : `#${seq} · ${after}` }), el("span", { text })),
    );
  }

  end(isGood, text) {
    this.isOver = true;
    this.step(isGood ? "good" : "bad", text);
    this.mark.textContent = isGood ? "✓" : "✗";
    this.mark.className = `mark ${isGood ? "good" : "bad"}`;
    this.element.dataset.status = isGood ? "good" : "bad";
  }

  /** A frame of the session's log. */
  see(frame, store) {
    if (frame.t !== "ev" || this.isOver) return;
    const { kind, data, seq } = frame;
    if (kind === "cleanup.report" && data.actor === "/" && this.held) this.#stuck(data.report, seq);
    else if (kind === "cleanup.report" && this.isOrphaned) this.#reported(data, seq);
    else if (kind === "agent.broken" && data.agent === this.agent) this.#broken(data, seq);
    else if (kind === "session.ended") this.#ended(data);
    else if (kind === "agent.state" && data.actor === this.path) this.#agentMoved(data, seq);
    else if (this.isOrphaned && (kind === "orchestrator.state" || kind === "session.state")) this.#sessionMoved(kind, data, seq);
  }

  #broken(data, seq) {
    if (!this.hasBegun || this.isHome) return;
    if (data.step === "noticed") {
      const words = { timeout: "it did not end within its time-out", raised: "it raised", limit_exceeded: "it went over a limit" };
      this.step("noticed", `Noticed: ${words[data.code] ?? data.code}${data.ref ? `; the server's log has it under ${data.ref}` : ""}`, seq);
    } else {
      if (data.held) this.held = data.held;
      this.step(data.step === "begun" ? "harm" : "noticed", data.text, seq);
    }
  }

  #agentMoved(data, seq) {
    this.hasBegun ||= data.to === "ill";
    if (!this.hasBegun || (this.isHome && data.to !== "stopping" && data.to !== "stopped")) return;
    const text = `${this.agent}: ${data.from} → ${data.to} on ${data.event}`;
    if (data.event === "limit_exceeded") this.step("noticed", "Noticed: more tasks than `limits` allows", seq);
    this.step("moved", text, seq);
    if (data.from !== "ill") {
      this.isOrphaned ||= data.to === "stopping";
      return;
    }
    if (HOME.has(data.to)) this.#home(data);
    else this.isOrphaned = true;
  }

  #home(data) {
    this.isHome = true;
    if (this.held) {
      this.step("noticed", `Still held: ${this.held.join(", ")}. End the session to see them let go.`);
      this.mark.textContent = "!";
      this.mark.className = "mark held";
      this.element.dataset.status = "held";
    } else {
      this.end(true, data.event === "interrupt" ? "Ended by the interrupt; the agent is back." : "Ended and back; nobody else was disturbed.");
    }
  }

  #sessionMoved(kind, data, seq) {
    this.step("moved", `${kind.split(".")[0]}: ${data.from} → ${data.to} on ${data.event}`, seq);
    if (kind === "session.state" && data.to === "active") {
      const text = "The team was let go and built again; the session goes on.";
      this.end(this.leaked === false, this.leaked === undefined ? `${text} No report of the clean-up came.` : text);
    }
  }

  /** The clean-up of a team that was let go while its session goes on. */
  #reported({ actor, report }, seq) {
    const items = flatten(report, actor).filter((item) => !item.isChild);
    const count = (verdict) => items.filter((item) => item.verdict === verdict).length;
    this.leaked = count("leaked") > 0;
    const own = actor === this.path ? items.filter((item) => HELD.includes(item.kind)) : [];
    const tasks = own.filter((item) => item.kind === "tasks");
    this.step(this.leaked ? "bad" : "good", `Clean-up of ${actor === this.path ? this.agent : "the team"}: ${count("released")} released, ${count("forced")} forced, ${count("leaked")} leaked`, seq);
    if (tasks.length > 0 && !this.leaked) this.step("good", `✓ all ${tasks.length} tasks of ${this.agent} are gone`);
    for (const item of own.filter((one) => one.kind === "files")) this.#verdict(item);
    this.held = null; // told
  }

  #verdict(item) {
    const [mark, sort] = item.verdict === "leaked" ? ["✗", "bad"] : ["✓", "good"];
    this.step(sort, `${mark} ${item.kind === "files" ? "file" : "task"} ${item.name.split("/").at(-1)}: ${item.verdict}`);
  }

  /** The clean-up of the session could not let go of something. */
  #stuck(report, seq) {
    const own = worst(flatten(report).filter((item) => HELD.includes(item.kind) && this.held.some((name) => item.name.endsWith(name))));
    for (const item of own) this.#verdict(item);
    const left = own.filter((item) => item.verdict === "leaked").map((item) => item.name);
    this.held = this.held.filter((name) => !own.some((item) => item.name.endsWith(name)) || left.some((one) => one.endsWith(name)));
    if (this.held.length === 0) return this.end(true, "All of it was let go.");
    this.step("noticed", "The session waits for a person, who may try again or write it off.", seq);
    this.mark.textContent = "✗";
    this.mark.className = "mark bad";
    this.element.dataset.status = "stuck";
    return undefined;
  }

  #ended(data) {
    const items = flatten(data.report);
    const own = this.held ? worst(items.filter((item) => HELD.includes(item.kind) && this.held.some((name) => item.name.endsWith(name)))) : [];
    for (const item of own) this.#verdict(item);
    const leaked = items.filter((item) => item.verdict === "leaked").length;
    if (this.held && own.length < this.held.length) this.end(false, "The report does not name everything that was left open.");
    else this.end(leaked === 0, leaked === 0 ? "The session has ended, and nothing of it is left." : `The session has ended; ${leaked} still there.`);
  }
}

/** One item for each name: what was passed up is told by what became of it there. */
function worst(items) {
  const found = new Map();
  for (const item of items) if (item.verdict !== "passed" && found.get(item.name)?.verdict !== "leaked") found.set(item.name, item);
  return [...found.values()];
}

/** A connection that was cut: from the last number before to the first after. */
class Cut extends Experiment {
  constructor(way, client, store) {
    super(way, null, null);
    this.client = client;
    this.from = client.last;
    this.twice = client.twice;
    this.store = store;
    this.step("harm", `The socket is gone after #${this.from}.`);
    client.addEventListener("status", (event) => this.#status(event.detail));
  }

  see(frame) {
    if (this.isOver || frame.t !== "ev" || this.head === undefined) return; // the rest is told once it is back
    if (frame.kind === "session.state") this.step("moved", `session: ${frame.data.from} → ${frame.data.to} on ${frame.data.event}`, frame.seq);
    if (this.client.last >= this.head) this.#caughtUp();
  }

  #status({ status, text, remedy }) {
    if (this.isOver) return;
    if (status === "live") {
      this.head = Math.max(this.store.head, this.from);
      this.step("noticed", `Back: the log is at #${this.head}, this page at #${this.from}.`);
      if (this.client.last >= this.head) this.#caughtUp();
    } else if (status === "stopped") {
      this.end(remedy === "stop", text);
    }
  }

  #caughtUp() {
    if (this.store.state === "reconnecting") return; // its end of the story comes as the next event
    const missed = this.store.events.filter((event) => event.seq > this.from);
    const isWhole = missed.every((event, index) => event.seq === this.from + 1 + index);
    const count = missed.length;
    const doubled = this.client.twice - this.twice;
    const again = doubled === 0 ? "nothing twice" : `${doubled} that came twice were dropped`;
    this.end(isWhole, isWhole ? `${count === 0 ? "Nothing was missed" : `#${this.from + 1} to #${this.from + count} came in order`}: no hole, ${again}.` : "There is a hole in the log.");
  }
}

const SHOWN_MAX = 40; // stories; the oldest that are over go first

/** The panel's logic for one session. */
export class Experiments {
  constructor() {
    this.list = [];
    this.element = el("div", { class: "experiments" });
  }

  cut(client, store) {
    this.#add(new Cut(WAYS[0], client, store));
    client.cut(CUT_MS);
  }

  async harm(how, agent, client, store) {
    const way = WAYS.find((one) => one.how === how);
    const experiment = this.#add(new Experiment(way, agent, store.pathOf(agent)));
    const outcome = await client.command("break_it", { how, agent });
    if (!outcome.ok && !experiment.isOver) experiment.end(false, `Refused: ${outcome.err.code}, ${outcome.err.msg}`);
  }

  see(frame, store) {
    for (const experiment of this.list) experiment.see(frame, store);
  }

  #add(experiment) {
    for (const one of this.list) if (one.isOver) one.element.open = false;
    this.list.push(experiment);
    const oldest = this.list.length > SHOWN_MAX ? this.list.findIndex((one) => one.isOver) : -1;
    if (oldest >= 0) this.list.splice(oldest, 1)[0].element.remove();
    this.element.prepend(experiment.element);
    return experiment;
  }
}
