// The row of sessions. A button stays the same element for as long as its session is known: who holds the pointer down
// on it, or has the focus there, is not disturbed by what happens in a session.

import { el, setText } from "./dom.js";

export class Tabs {
  /** onOpen(entry): a session is wanted; onNew(): the form for a new one. */
  constructor(place, onOpen, onNew) {
    this.place = place;
    this.onOpen = onOpen;
    this.buttons = new Map(); // token -> {button, team, sid, state}
    this.fresh = el("button", { type: "button", class: "tab new", id: "new-session", text: "+ New session", onclick: onNew });
    place.append(this.fresh);
  }

  /** entries: of sessions.js, in their order; live: token -> Live; current: the Live that is shown, or null. */
  show(entries, live, current) {
    const tokens = new Set(entries.map((entry) => entry.token));
    for (const [token, { button }] of this.buttons) {
      if (tokens.has(token)) continue;
      button.remove();
      this.buttons.delete(token);
    }
    entries.forEach((entry, index) => {
      const tab = this.buttons.get(entry.token) ?? this.#make(entry.token);
      tab.entry = entry;
      this.#fill(tab, entry, live.get(entry.token), current);
      if (this.place.children[index] !== tab.button) this.place.insertBefore(tab.button, this.place.children[index] ?? null);
    });
    mark(this.fresh, current === null);
  }

  #make(token) {
    const [team, sid, state] = ["team", "sid", "state"].map((name) => el("span", { class: `tab-${name}` }));
    const tab = { team, sid, state, entry: null };
    tab.button = el(
      "button",
      { type: "button", class: "tab", onclick: () => this.onOpen(tab.entry) },
      el("span", { class: "dot", "aria-hidden": "true" }),
      team,
      sid,
      state,
    );
    this.buttons.set(token, tab);
    return tab;
  }

  #fill({ button, team, sid, state }, entry, found, current) {
    const name = found?.store.sid ? found.store.state : entry.state;
    mark(button, found !== undefined && found === current);
    set(button.dataset, "state", name);
    set(button.dataset, "connected", String(found?.status.status === "live"));
    setText(team, entry.team ?? "session");
    setText(sid, entry.sid ? entry.sid.slice(2, 8) : "new");
    setText(state, found === undefined && !entry.isOver ? "not open here" : name);
  }
}

function set(dataset, name, value) {
  if (dataset[name] !== value) dataset[name] = value;
}

function mark(button, isCurrent) {
  if (isCurrent === (button.getAttribute("aria-current") === "true")) return;
  if (isCurrent) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}
