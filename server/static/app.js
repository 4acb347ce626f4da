// The playground: which session is looked at, and what of it is where on the page.

import { Board } from "./board.js";
import { CUT_MS, Experiments, WAYS } from "./breaking.js";
import { Chat } from "./chat.js";
import { Client, newToken } from "./client.js";
import { byId, el, setText, showMs } from "./dom.js";
import { optionsForm } from "./form.js";
import { Log } from "./log.js";
import { Machines } from "./machines.js";
import { reportTable } from "./report.js";
import * as sessions from "./sessions.js";
import { Store } from "./store.js";

const SOCKET = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/ws`;
const THEMES = ["auto", "light", "dark"];
const SAY_MS = 1_200; // between two announcements: a screen reader has to keep up

/** One session that this page follows. */
class Live {
  constructor(entry, create) {
    this.entry = entry;
    this.store = new Store();
    this.experiments = new Experiments();
    this.status = { status: "new", text: "" };
    this.client = new Client({ url: SOCKET, token: entry.token, create, auth: create ? sessions.key() : null, role: entry.role });
    this.client.addEventListener("frame", ({ detail }) => this.#frame(detail));
    this.client.addEventListener("status", ({ detail }) => this.#status(detail));
    this.client.addEventListener("fault", ({ detail }) => announce(`Fault of the server: ${detail}`));
  }

  get isOver() {
    return this.store.ended !== null || this.status.status === "stopped";
  }

  get mayAct() {
    return this.entry.role === "control" && !this.isOver;
  }

  #frame(frame) {
    this.store.apply(frame);
    this.experiments.see(frame, this.store);
    if (frame.t === "welcome") this.#known({ sid: frame.sid, state: frame.state });
    if (frame.t === "ev") this.#event(frame);
    changed(this);
  }

  #event({ kind, data, seq }) {
    const isNew = seq > (this.store.head ?? 0);
    if (kind === "session.state") this.#known({ state: data.to });
    if (this !== current || !isNew) return;
    if (kind.endsWith(".state")) machines.flash(kind.split(".")[0], data.to);
    if (kind === "session.state") announce(`Session: ${data.to}`);
    if (kind === "input.request") announce(data.prompt);
    if (kind === "session.ended") announce(`The session has ended. Leaked: ${data.report?.leaked ?? 0}`);
    if (kind === "agent.message") announce(`${data.agent ?? ""}: ${data.text ?? ""}`);
  }

  #known(more) {
    Object.assign(this.entry, more);
    sessions.keep(this.entry);
  }

  #status(detail) {
    this.status = detail;
    if (detail.remedy === "token") refused(this, detail);
    changed(this);
  }
}

const live = new Map(); // token -> Live
let current = null;
let teams = [];
let allowBreaking = false;
let options = null;

const log = new Log();
const machines = new Machines(byId("machines"));
const board = new Board((uci) => say(uci));
const chat = new Chat((request, text) => answer(request, text));
byId("board-place").append(board.element);
byId("chat-place").append(chat.element);

// Announcements: the last thing that happened, not everything.

let lastSaid = 0;
let toSay = null;
function announce(text) {
  toSay = text;
  const wait = Math.max(0, lastSaid + SAY_MS - performance.now());
  setTimeout(() => {
    if (toSay === null) return;
    byId("announcer").textContent = toSay;
    lastSaid = performance.now();
    toSay = null;
  }, wait);
}

// Sessions

function open(entry, create = null) {
  let found = live.get(entry.token);
  if (found === undefined) {
    found = new Live(entry, create);
    live.set(entry.token, found);
    sessions.keep(entry);
    found.client.start();
  }
  select(found);
}

function select(found) {
  current = found;
  byId("stage").dataset.view = found === null ? "new" : "session";
  byId("experiments").replaceChildren(...(found === null ? [] : [found.experiments.element]));
  byId("report").replaceChildren();
  shownReport = null;
  scrollTo(0, 0);
  machines.reset();
  drawTabs();
  draw();
}

function createSession() {
  const team = teams.find((one) => one.name === byId("team").value);
  const create = { team: team.name, options: options.read() };
  const entry = { token: newToken(), role: "control", team: team.name, options: create.options, sid: null, at: Date.now(), state: "…" };
  setText(byId("create-problem"), "");
  open(entry, create);
}

/** The server does not take the token: a new session lacks the key, an old one is gone. */
function refused(found, { text }) {
  const isNew = found.store.sid === null && !found.entry.sid;
  sessions.forget(found.entry.token);
  live.delete(found.entry.token);
  if (current === found) select(null);
  byId("key-field").hidden = !isNew && byId("key-field").hidden;
  const words = isNew
    ? "This server asks for its key. Open the address that `steward serve` printed, or paste the key here."
    : `That session is no longer known here (${text}).`;
  setText(byId("create-problem"), words);
  announce(words);
}

function leave(found) {
  found.client.stop();
  live.delete(found.entry.token);
  sessions.forget(found.entry.token);
  select([...live.values()][0] ?? null);
}

// What a person does

async function say(text) {
  if (current === null || text.trim() === "") return;
  const outcome = await current.client.command("say", { text: text.trim() });
  tellOutcome(outcome);
}

async function answer(request, text) {
  const path = current.store.pathOf(request.agent);
  tellOutcome(path ? await current.client.command("answer", { request: request.request, text }, path) : await current.client.command("say", { text }));
}

function tellOutcome(outcome) {
  const text = outcome.ok ? "" : `Not done: ${outcome.err.msg || outcome.err.code}`;
  setText(byId("say-problem"), text);
  if (text) announce(text);
}

async function copyLink(role) {
  let token = current.entry.token;
  if (role === "observe" && current.entry.role === "control") {
    const answer = await fetch(`/v1/sessions/${current.store.sid}/tokens`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify({ role }),
    });
    if (!answer.ok) return announce("No link could be made");
    token = (await answer.json()).token;
  }
  const link = sessions.linkTo(token, role);
  byId("link").value = link;
  byId("link-row").hidden = false;
  try {
    await navigator.clipboard.writeText(link);
    setText(byId("link-told"), "Copied. Who has it, has the session.");
  } catch {
    setText(byId("link-told"), "Copy it from here. Who has it, has the session.");
    byId("link").select();
  }
  return undefined;
}

// Drawing: once a frame, whatever came meanwhile.

let isDue = false;
const changedTabs = { isDue: false };
function changed(found) {
  changedTabs.isDue = true;
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (changedTabs.isDue) drawTabs();
    changedTabs.isDue = false;
    if (current !== null || found === current) draw();
  });
}

const LOOKS = {
  live: "connected",
  dialling: "dialling",
  waiting: "cut off",
  stopped: "closed",
  new: "dialling",
};

function draw() {
  const found = current;
  drawStatus(found);
  log.show(found?.store ?? null);
  machines.show(found?.store ?? null);
  byId("break").hidden = found === null || !allowBreaking;
  byId("log-panel").hidden = found === null;
  if (found === null) return;
  const { store } = found;
  const isChess = found.entry.team === "chess" || store.fen !== null;
  byId("board-place").hidden = !isChess;
  byId("stage").dataset.kind = isChess ? "board" : "chat";
  if (isChess) drawBoard(found);
  chat.show(store, { mayAnswer: found.mayAct, hasBoard: isChess });
  drawSay(found, isChess);
  drawBreaking(found);
  drawReport(found);
}

function drawStatus(found) {
  const pill = byId("connection");
  pill.hidden = found === null;
  byId("state").hidden = found === null;
  byId("actions").hidden = found === null;
  if (found === null) return;
  const { status, text } = found.status;
  pill.dataset.status = status;
  setText(pill, status === "waiting" ? `${LOOKS[status]}: ${text}` : LOOKS[status]);
  const state = found.store.state;
  byId("state").dataset.state = state;
  setText(byId("state"), state);
  setText(byId("session-name"), found.store.sid ?? "a new session");
  for (const button of byId("actions").querySelectorAll("[data-needs=control]")) button.disabled = !found.mayAct;
}

function drawBoard(found) {
  const { store } = found;
  const seat = found.entry.options ?? {};
  const request = [...store.requests.values()][0];
  const turn = store.fen?.split(" ")[1] === "b" ? "black" : "white";
  const isAsked = request !== undefined && found.mayAct;
  const text = store.result
    ? store.result.text
    : isAsked
      ? `${request.prompt} Click a piece and its square, use the arrow keys, or write it.`
      : store.fen === null
        ? "The pieces are set."
        : `${turn === "white" ? "White" : "Black"} to move.`;
  board.show({ fen: store.fen, last: store.move, side: isAsked ? turn : null, isFlipped: seat.black === "human" && seat.white !== "human", text });
}

function drawSay(found, isChess) {
  const asked = found.store.requests.size > 0;
  const input = byId("say-text");
  const mayAct = found.mayAct;
  input.disabled = !mayAct;
  byId("say-send").disabled = !mayAct;
  input.placeholder = isChess ? (asked ? "e2e4 or Nf3" : "Say something") : "Write to the team";
  setText(byId("say-label"), isChess ? "A move, or a word to the arbiter" : "Write to the team");
}

let shownReport = null;
function drawReport(found) {
  const { report, ended } = found.store;
  byId("report-panel").hidden = ended === null && report === null;
  if (report === null || report === shownReport) return;
  shownReport = report;
  byId("report").replaceChildren(
    el("p", { class: "why", text: ended ? `Ended: ${ended.code}, ${ended.why}.` : "Waiting for a person: something could not be let go." }),
    reportTable(report),
  );
}

function drawBreaking(found) {
  if (!allowBreaking) return;
  const names = found.store.agents().filter((agent) => !["stopped", "stopping"].includes(agent.state)).map((agent) => agent.path.split("/").at(-1));
  const select = byId("victim");
  if (select.dataset.names !== names.join()) {
    const was = select.value;
    select.dataset.names = names.join();
    select.replaceChildren(...names.map((name) => el("option", { value: name, text: name })));
    if (names.includes(was)) select.value = was;
  }
  for (const button of byId("ways").querySelectorAll("button")) {
    const needsAgent = button.dataset.how !== "cut";
    button.disabled = found.status.status !== "live" || found.store.ended !== null || (needsAgent && (names.length === 0 || found.entry.role !== "control"));
  }
}

function drawTabs() {
  const entries = sessions.known();
  for (const found of live.values()) if (!entries.some((one) => one.token === found.entry.token)) entries.push(found.entry);
  const items = entries.map((entry) => tab(entry, live.get(entry.token)));
  byId("tabs").replaceChildren(
    ...items,
    el("button", { type: "button", class: "tab new", "aria-current": current === null ? "true" : null, id: "new-session", text: "+ New session", onclick: () => select(null) }),
  );
}

function tab(entry, found) {
  const state = found?.store.sid ? found.store.state : entry.state;
  const text = entry.sid ? entry.sid.slice(2, 8) : "new";
  return el(
    "button",
    {
      type: "button",
      class: "tab",
      "aria-current": found !== undefined && found === current ? "true" : null,
      data: { state, connected: String(found?.status.status === "live") },
      onclick: () => open(entry),
    },
    el("span", { class: "dot", "aria-hidden": "true" }),
    el("span", { class: "tab-team", text: entry.team ?? "session" }),
    el("span", { class: "tab-sid", text }),
    el("span", { class: "tab-state", text: found === undefined && state !== "terminated" ? "not open here" : state }),
  );
}

// The page

function chooseTeam() {
  const team = teams.find((one) => one.name === byId("team").value);
  setText(byId("team-text"), team.description ?? "");
  options = optionsForm(team.options);
  byId("options").replaceChildren(options.element);
}

function theme(next) {
  document.documentElement.dataset.theme = next;
  setText(byId("theme"), { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" }[next]);
  try {
    localStorage.setItem("steward.theme", next);
  } catch {
    // It lasts as long as the page then.
  }
}

function listen() {
  byId("create").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = byId("key").value.trim();
    if (typed !== "") sessions.keepKey(typed);
    createSession();
  });
  byId("team").addEventListener("change", chooseTeam);
  byId("say").addEventListener("submit", (event) => {
    event.preventDefault();
    const input = byId("say-text");
    say(input.value);
    input.value = "";
  });
  byId("interrupt").addEventListener("click", async () => tellOutcome(await current.client.command("interrupt", {})));
  byId("end").addEventListener("click", async () => tellOutcome(await current.client.command("terminate", {})));
  byId("copy-link").addEventListener("click", () => copyLink(current.entry.role));
  byId("watch-link").addEventListener("click", () => copyLink("observe"));
  byId("forget").addEventListener("click", () => leave(current));
  byId("theme").addEventListener("click", () => theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]));
  addEventListener("online", () => live.forEach((found) => found.client.hurry()));
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && live.forEach((found) => found.client.hurry()));
  byId("ways").append(
    ...WAYS.map((way) =>
      el(
        "button",
        { type: "button", class: "way", data: { how: way.how }, onclick: () => harm(way.how) },
        el("b", { text: way.title }),
        el("span", { text: way.how === "cut" ? `${way.text} (${showMs(CUT_MS)})` : way.text }),
      ),
    ),
  );
}

function harm(how) {
  const { client, store, experiments } = current;
  if (how === "cut") experiments.cut(client, store);
  else experiments.harm(how, byId("victim").value, client, store);
}

async function fetchJson(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function begin() {
  const fragment = sessions.takeFragment();
  if (fragment.key) sessions.keepKey(fragment.key);
  theme(THEMES.includes(localStorage.getItem("steward.theme")) ? localStorage.getItem("steward.theme") : "auto");
  listen();
  const [offered, lifecycle] = await Promise.all([fetchJson("/v1/teams"), fetchJson("/v1/lifecycle")]);
  teams = offered.teams;
  allowBreaking = offered.allow_breaking;
  byId("team").replaceChildren(...teams.map((team) => el("option", { value: team.name, text: team.name })));
  if (teams.length > 0) chooseTeam();
  byId("create-button").disabled = teams.length === 0;
  byId("break-hint").hidden = allowBreaking;
  byId("key-field").hidden = sessions.key() !== null;
  const token = fragment.session ?? fragment.watch;
  if (token) {
    const known = sessions.known().find((one) => one.token === token);
    open(known ?? { token, role: fragment.watch ? "observe" : "control", team: null, options: {}, sid: null, at: Date.now(), state: "…" });
  } else {
    select(null);
  }
  await machines.draw(lifecycle);
  document.documentElement.dataset.ready = "true";
}

begin().catch((error) => {
  setText(byId("create-problem"), `The page could not begin: ${error.message}`);
  throw error;
});
