// The player: forth and back through a session's life by the numbers of its log, by hand or by itself.

import { announce } from "./announce.js";
import { byId, setText } from "./dom.js";
import { describe, shortName, actorOf } from "./log.js";
import { Past } from "./past.js";

const PAUSE_MS_MAX = 2_000; // where nothing happened for longer, nobody waits for longer
const PAUSE_MS_MIN = 20; // many events come within a millisecond, and each is to be seen

/** onChange(): another number is shown. */
export class Player {
  constructor(onChange) {
    this.onChange = onChange;
    this.live = null;
    this.past = null; // null: now
    this.at = null; // the number that is shown
    this.wanted = null; // the one that was asked for: what is before this page's events is still to be read
    this.isReading = false;
    this.timer = null; // of the next step while it plays
    this.element = byId("player");
    this.slider = byId("player-at");
    this.speed = byId("player-speed");
    this.#listen();
  }

  #listen() {
    const press = (id, work) => byId(id).addEventListener("click", () => this.#press(work));
    press("player-first", () => this.go(this.past?.begin ?? 0));
    press("player-back", () => this.step(-1));
    press("player-forth", () => this.step(1));
    press("player-now", () => this.now());
    byId("player-play").addEventListener("click", () => (this.isPlaying ? this.#pause() : this.#play()));
    this.slider.addEventListener("input", () => this.#press(() => this.go(Number(this.slider.value)), false));
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const keys = { ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), Home: () => this.go(0), End: () => this.now(), Escape: () => this.now() };
    const work = keys[event.key];
    if (work === undefined || event.target === this.speed || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.#press(work, event.target !== this.slider); // a slider tells its own value
  }

  /** A person chose a number: what plays stops there, and it is told. */
  #press(work, isTold = true) {
    this.#pause();
    work();
    if (isTold) announce(this.#words());
  }

  /** live: the session that is looked at, as it is now. */
  follow(live) {
    this.live = live;
    this.now();
  }

  get isPast() {
    return this.past !== null;
  }

  get isPlaying() {
    return this.timer !== null;
  }

  /** What is to be shown: the session as it was, or as it is. */
  get seen() {
    return this.isPast ? this.past.at(this.at) : (this.live?.store ?? null);
  }

  now() {
    this.#pause();
    this.past = null;
    this.at = null;
    this.onChange();
  }

  step(by) {
    if (!this.isPast && by > 0) return;
    this.go((this.at ?? this.live.store.seq) + by);
  }

  /** Show the session as it was at a number; the last one is now. */
  go(seq) {
    if (this.live === null) return;
    if (!this.isPast) this.#enter();
    this.past.grow();
    this.wanted = seq;
    this.at = Math.max(seq, this.past.begin);
    if (this.at >= this.past.end && !(this.isReading && seq < this.at)) this.now();
    else this.onChange();
  }

  #enter() {
    const past = new Past(this.live.store);
    this.past = past;
    const { entry, client } = this.live;
    this.isReading = past.begin > 0;
    if (!this.isReading) return;
    const done = () => {
      if (past !== this.past) return;
      this.isReading = false;
      this.go(this.wanted);
    };
    past.readBefore(entry.token, client.epoch).then(done, done); // no answer: what this page has can be looked at all the same
  }

  #play() {
    if (!this.isPast) this.go(0);
    if (!this.isPast) return; // there is nothing yet
    this.timer = setTimeout(() => this.#next(), PAUSE_MS_MIN);
    this.onChange();
  }

  #next() {
    this.go(this.at + 1);
    if (!this.isPast) return;
    const [shown, coming] = [this.past.event(this.at), this.past.event(this.at + 1)];
    const ms = ((coming?.ts ?? 0) - (shown?.ts ?? 0)) * 1_000 / Number(this.speed.value);
    this.timer = setTimeout(() => this.#next(), Math.min(Math.max(ms, PAUSE_MS_MIN), PAUSE_MS_MAX));
  }

  #pause() {
    if (!this.isPlaying) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.onChange();
  }

  /** The controls as they are now; called with every drawing of the page. */
  show() {
    const store = this.live?.store ?? null;
    this.element.hidden = store === null || store.seq === 0;
    if (this.element.hidden) return;
    this.past?.grow();
    const [begin, end] = this.isPast ? [this.past.begin, this.past.end] : [store.base.seq, store.seq];
    Object.assign(this.slider, { min: begin, max: end, value: this.at ?? end });
    const text = this.#words();
    if (this.slider.getAttribute("aria-valuetext") !== text) this.slider.setAttribute("aria-valuetext", text);
    setText(byId("player-text"), text);
    this.element.dataset.past = String(this.isPast);
    byId("player-now").disabled = !this.isPast;
    const play = byId("player-play");
    setText(play, this.isPlaying ? "❚❚" : "▶");
    play.setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
  }

  #words() {
    if (this.live === null) return "";
    if (!this.isPast) return `Now, at #${this.live.store.seq}`;
    const event = this.past.event(this.at);
    const what = event ? `${shortName(actorOf(event))}: ${describe(event)}` : this.at === 0 ? "before the first event" : "what was before is not kept";
    return `#${this.at} of ${this.past.end} · ${what}`;
  }
}
