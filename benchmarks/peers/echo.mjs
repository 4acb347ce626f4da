// P3, Node's `ws`: the same answer to every command, nothing durable.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false }, () => {
  process.stdout.write(`${server.address().port}\n`);
});
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    const plain = JSON.parse(data);
    socket.send(JSON.stringify({ t: "res", c: plain.c, ok: true }));
  });
});
