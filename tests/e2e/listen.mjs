// Prints every `ev` frame of a session as it came, until the last: node listen.mjs URL TOKEN
import { createRequire } from "node:module";

const { WebSocket } = createRequire(import.meta.url)("ws");
const [url, token] = process.argv.slice(2);
const socket = new WebSocket(url);
socket.on("open", () => socket.send(JSON.stringify({ t: "hello", token, role: "observe" })));
socket.on("message", (bytes) => {
  const text = bytes.toString();
  const frame = JSON.parse(text);
  if (frame.t === "ev") console.log(text);
  if (frame.kind === "session.ended") process.exit(0);
});
socket.on("close", () => process.exit(1));
