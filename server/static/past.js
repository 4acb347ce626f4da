// What a session looked like at a number of its log, built again from its events. Nothing runs and nothing is sent.

import { Seen } from "./seen.js";

const EVENTS_MAX = 20_000; // held while somebody looks back; a live session's log on the server is shorter
const PAGE_EVENTS = 1_000;

/** The life of one session from the number begin to the number end. */
export class Past {
  constructor(store) {
    this.store = store;
    this.base = store.base.copy();
    this.events = store.events.filter((event) => event.seq > this.base.seq);
    this.seen = null; // the last that was asked for: one step on from it is one event
  }

  /** The first number that can be shown: 0 is before everything. */
  get begin() {
    return this.base.seq;
  }

  get end() {
    return this.begin + this.events.length;
  }

  /** Take in what has come since. After a hole the present has a past of its own, and this one ends where it ends. */
  grow() {
    const fresh = (this.store.events.at(-1)?.seq ?? 0) - this.end;
    if (fresh <= 0 || fresh > this.store.events.length || this.events.length + fresh > EVENTS_MAX) return;
    this.events.push(...this.store.events.slice(-fresh));
  }

  /** The event with that number; undefined for the number it begins with. */
  event(seq) {
    return this.events[seq - this.begin - 1];
  }

  /** What was seen by who had applied all events up to seq. */
  at(seq) {
    if (this.seen === null || seq < this.seen.seq) this.seen = this.base.copy();
    while (this.seen.seq < seq) this.seen.see(this.event(this.seen.seq + 1));
    return this.seen;
  }

  /** Read what this page has not got, as far as the server still has it. */
  async readBefore(token, epoch) {
    if (this.begin === 0 || this.end > EVENTS_MAX) return;
    const before = [];
    while (before.length < this.begin) {
      const path = `/v1/sessions/${this.store.sid}/log?after=${before.length}&limit=${PAGE_EVENTS}`;
      const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` } });
      if (!answer.ok) return; // trimmed away: it begins with the snapshot
      const page = await answer.json();
      if (page.epoch !== epoch || page.events.length === 0) return;
      before.push(...page.events);
    }
    this.events.unshift(...before.slice(0, this.begin));
    this.base = new Seen();
    this.seen = null;
  }
}
