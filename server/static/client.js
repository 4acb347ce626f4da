// A client of the wire protocol: one session, however many connections it takes (docs/protocol.md).
// It dials, says hello, follows the log by its numbers, sends again what was not answered, and dials again.

const DIAL_MS = 3_000; // for TCP and the upgrade
const WELCOME_MS = 10_000;
const SILENCE_MS = 25_000; // until a welcome says what the server keeps to
const BACKOFF_MS_MAX = 5_000;
const COMMANDS_MAX = 256; // kept for an answer at once; what is above it is refused here
const COMMAND_BYTES = 64 * 1024; // until a welcome says how long a command may be
const UNANSWERED_MAX = 64; // until a welcome says how far the highest c may be above the lowest that has no outcome
const TOKEN_BYTES = 32;

/** random bytes in base64url, which stands in a fragment and a header without quoting. */
export function randomText(bytes) {
  const binary = String.fromCharCode(...crypto.getRandomValues(new Uint8Array(bytes)));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The right to a session is made by the client, so that a lost welcome makes no second session. */
export const newToken = () => randomText(TOKEN_BYTES);

/** What the number of a close tells the client to do: "again", "later", "token", "bug" or "stop". */
export function remedyOf(code) {
  if (code >= 4100 && code < 4200) return "later";
  if (code >= 4300 && code < 4400) return "token";
  if (code >= 4400 && code < 4500) return "bug";
  if (code >= 4500 && code < 4600) return "stop";
  return "again";
}

/**
 * Events: `frame` (detail: a begin, when a log is read from its first number, or a welcome, snap, ev, note, ping or goaway that is new), `status` (detail: {status, text, retryMs}) with
 * status dialling, live, cut, waiting or stopped, and `fault` (detail: text) for what the server must not do.
 */
export class Client extends EventTarget {
  /** create: {team, options}, for a token no server knows yet; auth: the key that creating needs. */
  constructor({ url, token, create = null, auth = null, role = "control" }) {
    super();
    this.token = token;
    this.role = role;
    this.cid = randomText(9); // names this page load's memory of unanswered commands, so it is never stored
    this.dials = 0;
    this.last = 0; // the highest number applied
    this.epoch = null;
    this.twice = 0; // events that came a second time
    this.status = "new";
    this.closeCode = null;
    this.cut_until = 0;
    this.#url = url;
    this.#create = create;
    this.#auth = auth;
  }

  #url;
  #create;
  #auth;
  #socket = null;
  #lastC = 0;
  #attempt = 0;
  #pending = new Map(); // c -> {frame, resolve}, in order; kept until its `res` has come
  #timer = null; // of the next dial
  #watch = null; // over dialling, the welcome and silence, one after the other
  #silenceMs = SILENCE_MS;
  #logs = null; // the epoch of the last welcome
  #dialAt = null; // when the server wants us to dial, which goes before our own back-off
  #commandBytes = COMMAND_BYTES;
  #unansweredMax = UNANSWERED_MAX;
  #error = null;
  #isWelcomed = false;
  #again = null; // the timer of what nothing was decided about; until then no new command goes before it

  start() {
    this.#dial();
  }

  /** Leave for good; the session notices that nobody of this page is connected. */
  stop() {
    this.#clear();
    this.#drop();
    this.#stopped("left by this page");
  }

  /** Lose the connection as a cable does, and dial again no sooner than after ms. */
  cut(ms) {
    if (this.status === "stopped") return;
    this.cut_until = performance.now() + ms;
    this.#lose("cut on purpose");
  }

  /** Dial now instead of when our own back-off is over, such as when the network has come back. When the server has
   *  said when, it stays at that: it spreads what would else come all at once. */
  hurry() {
    if (this.status === "waiting" && this.#dialAt === null && performance.now() >= this.cut_until) this.#dial();
  }

  /** Send an event to an actor; its outcome: {ok, val?, err?, dup?}, over as many connections as it takes. */
  command(name, args = {}, to = "/") {
    const frame = { t: "cmd", c: this.#lastC + 1, name, args, to };
    const refused = this.#refused(frame);
    if (refused !== null) return Promise.resolve({ ok: false, err: refused });
    return new Promise((resolve) => {
      this.#lastC += 1;
      this.#pending.set(this.#lastC, { frame, resolve });
      if (this.#again === null && this.#isInWindow(frame.c)) this.#send(frame);
    });
  }

  /** Why a command is not even sent: the server would close the connection over it, or nobody would ever answer. */
  #refused(frame) {
    if (this.status === "stopped") return { code: "stopped", msg: "this page has no connection to the session any more" };
    if (this.#pending.size >= COMMANDS_MAX) return { code: "busy", msg: `${COMMANDS_MAX} commands wait for an answer already` };
    const bytes = new TextEncoder().encode(JSON.stringify(frame)).length;
    if (bytes <= this.#commandBytes) return null;
    return { code: "too_big", msg: `this is ${bytes} bytes with what goes along; at most ${this.#commandBytes} can be sent at once` };
  }

  #isInWindow(c) {
    const [lowest] = this.#pending.keys();
    return c - lowest < this.#unansweredMax;
  }

  #dial() {
    this.#clear();
    this.#drop();
    this.dials += 1;
    this.#isWelcomed = false;
    this.#error = null;
    this.#dialAt = null;
    this.#tell("dialling", "");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#limit(DIAL_MS, "no answer");
    // A close or a frame of a socket that was replaced meanwhile says nothing about this one.
    const mine = (handle) => (event) => socket === this.#socket && handle(event);
    socket.addEventListener("open", mine(() => this.#hello()));
    socket.addEventListener("message", mine((event) => this.#read(event.data)));
    socket.addEventListener("close", mine((event) => this.#closed(event.code)));
  }

  #hello() {
    this.#limit(WELCOME_MS, "no welcome");
    const hello = { t: "hello", token: this.token, n: this.dials, role: this.role };
    if (this.role === "control") hello.cid = this.cid;
    if (this.epoch === null) this.last = 0; // a cursor is both or neither: a number of another log would hide a hole
    if (this.epoch !== null) hello.cur = { epoch: this.epoch, seq: this.last };
    if (this.#create !== null && this.epoch === null) hello.create = this.#create;
    if (this.#auth !== null && this.epoch === null) hello.auth = this.#auth;
    this.#send(hello);
  }

  #read(text) {
    const frame = JSON.parse(text);
    if (this.#isWelcomed) this.#limit(this.#silenceMs, "silence");
    switch (frame.t) {
      case "welcome":
        return this.#welcomed(frame);
      case "snap":
        this.last = frame.seq;
        this.epoch = this.#logs;
        return this.#emit("frame", frame);
      case "ev":
        return this.#event(frame);
      case "res":
        return this.#result(frame);
      case "error":
        this.#error = frame;
        this.#asked(frame.retry_ms);
        return undefined;
      case "goaway":
        this.#asked(frame.slot_ms);
        return this.#emit("frame", frame);
      default:
        return this.#emit("frame", frame);
    }
  }

  /** The server says when to dial again; an error without a word of it leaves the slot of the goaway before it. */
  #asked(ms) {
    if (typeof ms === "number") this.#dialAt = performance.now() + ms;
  }

  #welcomed(frame) {
    if (frame.resumed && this.epoch !== null && frame.epoch !== this.epoch) {
      this.#fault("another log without a snapshot");
      this.epoch = null; // ask for all of it
      return this.#lose("another log");
    }
    if (frame.resumed && this.epoch === null) this.#emit("frame", { t: "begin" });
    this.#isWelcomed = true;
    this.#attempt = 0;
    this.#logs = frame.epoch;
    this.epoch = frame.resumed ? frame.epoch : null; // until the snapshot has come, no number of that log is known
    this.#commandBytes = frame.limits?.cmd_bytes ?? COMMAND_BYTES;
    this.#unansweredMax = frame.limits?.commands_unanswered ?? UNANSWERED_MAX;
    this.#silenceMs = (frame.limits?.dead_ms ?? SILENCE_MS) + 5_000; // the server gives up first
    this.#limit(this.#silenceMs, "silence");
    this.#emit("frame", frame);
    this.#tell("live", "");
    this.#sendUnanswered();
    return undefined;
  }

  #sendUnanswered() {
    for (const { frame } of this.#pending.values()) if (this.#isInWindow(frame.c)) this.#send(frame);
  }

  #event(frame) {
    if (frame.seq <= this.last) {
      this.twice += 1; // sent again: applied already
      return;
    }
    if (frame.seq !== this.last + 1) {
      this.#fault(`number ${frame.seq} came after ${this.last}`);
      this.#lose("a hole in the log");
      return;
    }
    this.last = frame.seq;
    this.#emit("frame", frame);
  }

  #result(frame) {
    const waiting = this.#pending.get(frame.c);
    if (waiting === undefined) return;
    if (typeof frame.err?.retry_ms === "number") {
      this.#askAgain(frame.err.retry_ms);
      return;
    }
    const [lowest] = this.#pending.keys();
    this.#pending.delete(frame.c);
    waiting.resolve(frame);
    if (this.#again !== null) return; // all are sent soon
    // The window has moved: what was held back for it may go now.
    const [next] = this.#pending.keys();
    for (const { frame: held } of this.#pending.values()) {
      if (held.c >= lowest + this.#unansweredMax && held.c < next + this.#unansweredMax) this.#send(held);
    }
  }

  /** Nothing was decided about a command, nor will it be about those behind it before it has come again: all are sent
   *  again in their order, as after a welcome. */
  #askAgain(ms) {
    clearTimeout(this.#again);
    this.#again = setTimeout(() => {
      this.#again = null;
      this.#sendUnanswered();
    }, ms);
  }

  #closed(code) {
    this.#clear();
    this.#drop();
    this.closeCode = code;
    const remedy = remedyOf(code);
    const text = this.#error?.msg ?? `closed (${code})`;
    if (remedy === "again" || remedy === "later") this.#wait(text);
    else this.#stopped(text, remedy);
  }

  /** This connection is as good as gone. */
  #lose(why) {
    this.#clear();
    this.#drop();
    this.closeCode = 1006;
    this.#wait(why);
  }

  #wait(text) {
    const random = Math.random() * Math.min(BACKOFF_MS_MAX, 1_000 * 2 ** this.#attempt);
    this.#attempt += 1;
    const ms = Math.max(this.#dialAt === null ? random : this.#dialAt - performance.now(), 0, this.cut_until - performance.now());
    this.#timer = setTimeout(() => this.#dial(), ms);
    this.#tell("waiting", text, "again", ms);
  }

  #limit(ms, why) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lose(why), ms);
  }

  #clear() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    clearTimeout(this.#again);
    this.#again = null;
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) socket.close();
  }

  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN && (this.#isWelcomed || frame.t === "hello")) {
      this.#socket.send(JSON.stringify(frame));
    }
  }

  #fault(text) {
    this.#emit("fault", text);
  }

  /** For good: nobody will answer what is still waiting. */
  #stopped(text, remedy = null) {
    this.#tell("stopped", text, remedy);
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { resolve } of waiting) resolve({ ok: false, err: { code: "stopped", msg: text } });
  }

  #tell(status, text, remedy = null, retryMs = null) {
    this.status = status;
    this.#emit("status", { status, text, remedy, retryMs });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
