// A whole client on a plain WebSocket library: it survives lost connections and a `kill -9` of the server with nothing
// lost and nothing doubled. docs/protocol.md says why; plain.py is the same in Python.
//
//     npm install ws
//     node examples/clients/plain.mjs ws://127.0.0.1:8080/v1/ws "$(cat .steward/key)" e2e4 d2d4
//
// plays these moves as white against an agent, prints every event of the session once, and ends it.
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";

const { WebSocket } = createRequire(import.meta.url)("ws"); // unlike import, it heeds NODE_PATH
const base64url = (bytes) => randomBytes(bytes).toString("base64url");

class Client {
  constructor(url, key, create, onEvent) {
    Object.assign(this, { url, onEvent, c: 0, tries: 0, last: 0, epoch: "", unanswered: new Map() });
    this.hello = { t: "hello", n: 0, auth: key, create, token: base64url(32), cid: base64url(9) };
    this.dial();
  }

  command(name, args = {}) {
    const text = JSON.stringify({ t: "cmd", c: ++this.c, name, args });
    this.unanswered.set(this.c, text);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(text); // else after the next welcome
  }

  dial() {
    this.waitMs = Math.random() * Math.min(5000, 1000 * 2 ** this.tries++);
    this.hello.n += 1;
    this.socket = new WebSocket(this.url, { handshakeTimeout: 3000 });
    this.socket.on("open", () => this.socket.send(JSON.stringify(this.hello)));
    this.socket.on("message", (text) => this.take(JSON.parse(text)));
    this.socket.on("error", (error) => console.error(`not connected: ${error.message}`)); // a close follows
    this.socket.on("close", (code, reason) => {
      if ([43, 44, 45].includes(Math.floor(code / 100))) return console.error(`${code} ${reason}`);
      setTimeout(() => this.dial(), this.waitMs);
    });
  }

  take(frame) {
    if (frame.t === "welcome") {
      Object.assign(this, { tries: 0, epoch: frame.epoch });
      for (const text of this.unanswered.values()) this.socket.send(text);
    } else if (frame.t === "ev" && frame.seq > this.last + 1) {
      this.socket.close(); // a hole: dial again, the log has what is missing
    } else if (frame.t === "snap" || (frame.t === "ev" && frame.seq > this.last)) {
      this.last = frame.seq;
      this.hello.cur = { epoch: this.epoch, seq: this.last }; // together, or a log is mistaken for another
      this.onEvent(frame);
    } else if (frame.t === "res" && frame.err?.retry_ms) {
      this.waitMs = frame.err.retry_ms; // nothing was decided: it is sent again then
      this.socket.close();
    } else if (frame.t === "res") this.unanswered.delete(frame.c);
    else if (frame.t === "error" || frame.t === "goaway") this.waitMs = frame.slot_ms ?? frame.retry_ms ?? this.waitMs;
  }
}

const [url, key, ...moves] = process.argv.slice(2);
const create = { team: "chess", options: { white: "human", plies: 2 * moves.length } };
const client = new Client(url, key, create, (event) => {
  console.log(JSON.stringify(event));
  if (event.t === "snap") return; // takes the place of all before it; a game this short is never cut
  if (event.kind === "input.request" && moves.length) client.command("say", { text: moves.shift() });
  else if (event.kind === "input.request" || "result" in event.data) client.command("terminate");
  else if (event.kind === "session.ended") process.exit(0);
});
