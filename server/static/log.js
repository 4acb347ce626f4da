// The numbered log as it comes, filtered by what it tells and by whom.

import { byId, el, setText } from "./dom.js";

const ROWS_MAX = 400; // in the page; the filter looks at all that is kept
const GROUPS = [
  ["states", "States", (kind) => kind.endsWith(".state") || kind === "session.ended"],
  ["messages", "Messages", (kind) => ["agent.message", "person.message", "agent.tool", "agent.handoff"].includes(kind)],
  ["input", "Questions", (kind) => kind.startsWith("input.")],
  ["breaking", "Breaking", (kind) => kind === "agent.broken"],
  ["other", "Other", () => true],
];

const groupOf = (kind) => GROUPS.find(([, , holds]) => holds(kind))[0];
export const actorOf = ({ kind, data }) => data.actor ?? data.agent ?? (kind.startsWith("session.") ? "/" : "");
export const shortName = (actor) => (actor === "/" || actor === "" ? "session" : actor.split("/").at(-1));

/** One event in a few words. */
export function describe({ kind, data }) {
  if (kind.endsWith(".state")) return `${data.from ?? "·"} → ${data.to} on ${data.event}`;
  if (kind === "session.ended") return `${data.code}: ${data.why}`;
  if (kind === "input.request") return `asks: ${data.prompt}`;
  if (kind === "input.response") return `question ${data.how}`;
  if (kind === "agent.tool") return `${data.name}(${data.arguments ?? ""}) = ${data.result ?? (data.ok === false ? "not done" : "done")}`;
  if (kind === "agent.handoff") return `hands over to ${data.to}`;
  if (kind === "person.message") return `${data.by || "a person"} says: ${data.text}`;
  if (kind === "cleanup.report") return `${data.report?.released ?? 0} released, ${data.report?.forced ?? 0} forced, ${data.report?.leaked ?? 0} leaked`;
  if (kind === "agent.broken") return `${data.step}: ${data.text ?? `${data.handler} ${data.code}`}`;
  return data.text ?? JSON.stringify(data);
}

export class Log {
  constructor() {
    this.rows = byId("log-rows");
    this.box = byId("log-scroll");
    this.count = byId("log-count");
    this.text = byId("log-text");
    this.actor = byId("log-actor");
    this.shown = new Set(GROUPS.map(([name]) => name));
    this.store = null;
    this.events = null; // the list that is shown: another one begins from its beginning
    this.next = 0; // index + dropped of the first event that was not looked at
    this.at = null; // the number that is shown in the past
    byId("log-kinds").append(...GROUPS.map((group) => this.#chip(group)));
    this.text.addEventListener("input", () => this.#again());
    this.actor.addEventListener("change", () => this.#again());
  }

  #chip([name, title]) {
    const button = el("button", { type: "button", class: "chip", "aria-pressed": "true", text: title, data: { group: name } });
    button.addEventListener("click", () => {
      const isOn = !this.shown.has(name);
      isOn ? this.shown.add(name) : this.shown.delete(name);
      button.setAttribute("aria-pressed", String(isOn));
      this.#again();
    });
    return button;
  }

  /** past: the events to choose from while somebody looks back, with the number at; null: now. */
  show(store, past = null, at = null) {
    const isOther = store !== this.store;
    if (isOther) {
      this.actor.replaceChildren(el("option", { value: "", text: "everybody" }));
      this.known = new Set();
    }
    const events = past ?? store?.events ?? null;
    const isAnew = isOther || events !== this.events || (at === null) !== (this.at === null);
    Object.assign(this, { store, events, at });
    if (isAnew) this.#again();
    else if (at === null) this.#more();
    else this.#point();
  }

  #again() {
    this.rows.replaceChildren();
    this.next = 0;
    if (this.at === null) {
      this.#more();
      this.box.scrollTop = this.box.scrollHeight;
    } else this.#point();
  }

  /** The past: the event with the number, or the last before it that passes the filter, in the middle. */
  #point() {
    const index = this.events.findLastIndex((event) => event.seq <= this.at && this.#isWanted(event));
    const shown = this.events[index];
    const find = () => this.rows.querySelector(`[data-seq="${shown?.seq}"]`);
    if (shown === undefined || find() === null) {
      const [from, to] = [Math.max(0, index - ROWS_MAX / 2), index + ROWS_MAX / 2];
      this.rows.replaceChildren(...this.events.slice(from, to).filter((event) => this.#isWanted(event)).map((event) => this.#row(event)));
    }
    this.rows.querySelector("[aria-current]")?.removeAttribute("aria-current");
    byId("log-none").hidden = this.rows.childElementCount > 0;
    this.#count(this.events);
    const row = find();
    if (row === null) return;
    row.setAttribute("aria-current", "true");
    const [inner, outer] = [row.getBoundingClientRect(), this.box.getBoundingClientRect()];
    this.box.scrollTop += inner.top + inner.height / 2 - outer.top - outer.height / 2;
  }

  #more() {
    if (this.store === null) {
      setText(this.count, "");
      return;
    }
    const { events, dropped } = this.store;
    const isAtEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
    const fresh = events.slice(Math.max(0, this.next - dropped));
    this.next = dropped + events.length;
    fresh.forEach((event) => this.#know(actorOf(event)));
    const found = fresh.filter((event) => this.#isWanted(event)).slice(-ROWS_MAX);
    if (found.length > 0) {
      this.rows.append(...found.map((event) => this.#row(event)));
      while (this.rows.childElementCount > ROWS_MAX) this.rows.firstElementChild.remove();
      if (isAtEnd) this.box.scrollTop = this.box.scrollHeight;
    }
    byId("log-none").hidden = events.length === 0 || this.rows.childElementCount > 0;
    this.#count(events);
  }

  #count(events) {
    const [first, last] = [events[0]?.seq, events.at(-1)?.seq];
    const isWhole = last - first + 1 === events.length; // numbers only rise, so counting them is enough
    setText(this.count, events.length === 0 ? "nothing yet" : `#${first} to #${last}, ${isWhole ? "no hole" : "with a hole"}`);
  }

  #know(actor) {
    const name = shortName(actor);
    if (this.known.has(name)) return;
    this.known.add(name);
    this.actor.append(el("option", { value: name, text: name }));
  }

  #isWanted(event) {
    if (!this.shown.has(groupOf(event.kind))) return false;
    if (this.actor.value !== "" && shortName(actorOf(event)) !== this.actor.value) return false;
    const wanted = this.text.value.trim().toLowerCase();
    return wanted === "" || `${event.seq} ${event.kind} ${actorOf(event)} ${describe(event)}`.toLowerCase().includes(wanted);
  }

  #row(event) {
    const at = new Date(event.ts * 1_000);
    return el(
      "tr",
      { class: `row row-${groupOf(event.kind)}`, data: { seq: event.seq } },
      el("td", { class: "seq", text: String(event.seq) }),
      el("td", { class: "at", text: at.toLocaleTimeString([], { hour12: false }) }),
      el("td", { class: "who", text: shortName(actorOf(event)) }),
      el("td", { class: "kind", text: event.kind }),
      el("td", { class: "what", text: describe(event) }),
    );
  }
}
