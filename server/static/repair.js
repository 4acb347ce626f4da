// A session that waits for a person, because something could not be let go: try again, or write it off. Both are an
// administrator's; on a machine of one's own that is whoever has the server's key.

import { el } from "./dom.js";
import * as sessions from "./sessions.js";

const REASON = "written off on the playground";
const WAYS = [
  { name: "retry_cleanup", title: "Try the clean-up again", args: {} },
  { name: "write_off", title: "Write it off", args: { reason: REASON } },
];

/** The buttons, or who could press them. */
export function repairs(sid) {
  const key = sessions.key();
  if (key === null) return el("p", { class: "quiet", text: `Only who has the server's key may go on: steward retry ${sid}, or steward write-off ${sid}.` });
  const told = el("span", { class: "problem", role: "status" });
  const press = (way) => async () => {
    told.textContent = "";
    told.textContent = await send(sid, key, way);
  };
  return el(
    "div",
    { class: "repairs" },
    WAYS.map((way, index) => el("button", { type: "button", class: index === 0 ? "primary" : "", text: way.title, data: { name: way.name }, onclick: press(way) })),
    told,
  );
}

/** Nothing ("") if it was done, else why not. */
async function send(sid, key, { name, args }) {
  const answer = await fetch(`/v1/sessions/${sid}/commands`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}` },
    body: JSON.stringify({ name, args }),
  });
  if (answer.ok) return "";
  const problem = await answer.json();
  return `Not done: ${problem.detail ?? problem.title}`;
}
