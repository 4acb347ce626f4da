// The playground: which session is looked at, and what of it is where on the page.

import { announce } from "./announce.js";
import { Board } from "./board.js";
import { WAYS } from "./breaking.js";
import { Chat } from "./chat.js";
import { newToken } from "./client.js";
import { byId, el, setText } from "./dom.js";
import { optionsForm } from "./form.js";
import { Live } from "./live.js";
import { Log } from "./log.js";
import { Machines } from "./machines.js";
import { Player } from "./player.js";
import { repairs } from "./repair.js";
import { reportTable } from "./report.js";
import * as sessions from "./sessions.js";
import { Tabs } from "./tabs.js";

const THEMES = ["auto", "light", "dark"];

const live = new Map(); // token -> Live
let current = null;
let teams = [];
let allowBreaking = false;
let options = null;

const log = new Log();
const machines = new Machines(byId("machines"));
const board = new Board((uci) => say(uci));
const tabs = new Tabs(byId("tabs"), (entry) => open(entry), () => select(null));
const player = new Player(() => changed());
const chat = new Chat((request, text) => answer(request, text));
byId("board-place").append(board.element);
byId("chat-place").append(chat.element);

// Sessions

function open(entry) {
  let found = live.get(entry.token);
  if (found === undefined) {
    found = new Live(entry);
    live.set(entry.token, found);
    follow(found);
    found.start();
  }
  select(found);
}

function follow(found) {
  found.addEventListener("frame", ({ detail }) => {
    if (detail.t === "ev") tell(found, detail);
    changed();
  });
  found.addEventListener("status", ({ detail }) => {
    if (detail.remedy === "token") refused(found, detail);
    changed();
  });
  found.addEventListener("fault", ({ detail }) => announce(`Fault of the server: ${detail}`));
}

function tell(found, { kind, data, seq }) {
  if (found !== current || player.isPast || seq <= found.store.head) return;
  if (kind.endsWith(".state")) machines.flash(kind.split(".")[0], data.to);
  if (kind === "session.state") announce(`Session: ${data.to}`);
  if (kind === "input.request") announce(data.prompt);
  if (kind === "session.ended") announce(`The session has ended. Leaked: ${data.report?.leaked ?? 0}`);
  if (kind === "agent.message") announce(`${data.agent ?? ""}: ${data.text ?? ""}`);
}

function select(found) {
  if (current !== null) current.draft = byId("say-text").value;
  current = found;
  sessions.keepCurrent(found?.entry.token ?? null);
  byId("say-text").value = found?.draft ?? "";
  byId("link-row").hidden = true; // it is a link to the session before
  byId("link").value = "";
  byId("stage").dataset.view = found === null ? "new" : "session";
  byId("experiments").replaceChildren(...(found === null ? [] : [found.experiments.element]));
  byId("report").replaceChildren();
  shownReport = null;
  scrollTo(0, 0);
  machines.reset();
  player.follow(found);
  drawTabs();
  draw();
}

function createSession() {
  const team = teams.find((one) => one.name === byId("team").value);
  const create = { team: team.name, options: options.read() };
  const entry = { token: newToken(), role: "control", team: team.name, options: create.options, create, sid: null, at: Date.now(), state: "…" };
  setText(byId("create-problem"), "");
  open(entry);
  byId("stage").focus({ preventScroll: true }); // the button that had it is no longer there
}

/** The server does not take the token: a new session lacks the key, an old one is gone. */
function refused(found, { text }) {
  const isNew = found.create !== null && found.store.sid === null;
  sessions.forget(found.entry.token);
  live.delete(found.entry.token);
  if (current === found) select(null);
  byId("key-field").hidden = !isNew && byId("key-field").hidden;
  const cause = sessions.key() === null ? "This server asks for its key." : "This is not the key of this server.";
  if (isNew) sessions.keyFails();
  const remedy = sessions.key() === null ? "Open" : "Start again with the key from before, open";
  const words = isNew
    ? `${cause} ${remedy} the address that \`steward serve\` printed, or paste the key here.`
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
  if (current === null || text.trim() === "") return true;
  return tellOutcome(current, await current.client.command("say", { text: text.trim() }));
}

/** What was written goes at once; if it was not taken, it comes back to be changed. */
async function sayWritten() {
  const [input, found] = [byId("say-text"), current];
  const text = input.value;
  input.value = "";
  if (await say(text)) return;
  if (found !== current) found.draft ||= text;
  else if (input.value === "") input.value = text;
}

async function answer(request, text) {
  const found = current;
  const path = found.store.pathOf(request.agent);
  const [name, args, to] = path ? ["answer", { request: request.request, text }, path] : ["say", { text }, "/"];
  tellOutcome(found, await found.client.command(name, args, to));
}

async function command(name) {
  const found = current;
  tellOutcome(found, await found.client.command(name));
}

/** Whether it was done; if not, why stands with its own session. */
function tellOutcome(found, outcome) {
  found.problem = outcome.ok ? "" : `Not done: ${outcome.err.msg || outcome.err.code}`;
  if (found.problem && found === current) announce(found.problem);
  changed();
  return outcome.ok;
}

async function copyLink(role) {
  const found = current;
  let token = found.entry.token;
  if (role === "observe" && found.entry.role === "control") {
    const answer = await fetch(`/v1/sessions/${found.store.sid}/tokens`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify({ role }),
    });
    if (!answer.ok) return announce("No link could be made");
    token = (await answer.json()).token;
  }
  if (found !== current) return undefined; // somebody looks at another session by now
  const link = sessions.linkTo(token, role);
  const who = role === "observe" ? "Who has it may watch, and nothing else." : "Who has it, has the session.";
  byId("link").value = link;
  byId("link-row").hidden = false;
  try {
    await navigator.clipboard.writeText(link);
    setText(byId("link-told"), `Copied. ${who}`);
  } catch {
    setText(byId("link-told"), `Copy it from here. ${who}`);
    byId("link").select();
  }
  return undefined;
}

// Drawing: once a frame, whatever came meanwhile.

let isDue = false;
function changed() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    drawTabs();
    if (current !== null) draw();
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
  player.show();
  const seen = player.seen; // as it is, or as it was at the number that somebody looks at
  log.show(found?.store ?? null, player.past?.events, player.at);
  machines.show(seen);
  byId("break").hidden = found === null || !allowBreaking;
  byId("log-panel").hidden = found === null;
  if (found === null) return;
  const isChess = found.entry.team === "chess" || found.store.fen !== null;
  byId("board-place").hidden = !isChess;
  byId("stage").dataset.kind = isChess ? "board" : "chat";
  if (isChess) drawBoard(found, seen);
  chat.show(seen, { mayAnswer: mayAct(found), hasBoard: isChess, isControl: found.entry.role === "control" });
  drawSay(found, isChess);
  drawBreaking(found);
  drawReport(found, seen);
}

/** The past is looked at, not changed. */
const mayAct = (found) => found.mayAct && !player.isPast;

function drawStatus(found) {
  const pill = byId("connection");
  pill.hidden = found === null;
  byId("state").hidden = found === null;
  byId("actions").hidden = found === null;
  if (found === null) return;
  const { status, text } = found.status;
  pill.dataset.status = status;
  const hasReason = status === "waiting" || (status === "stopped" && found.store.ended === null);
  setText(pill, hasReason ? `${LOOKS[status]}: ${text}` : LOOKS[status]);
  const state = player.seen.state;
  byId("state").dataset.state = state;
  setText(byId("state"), state);
  setText(byId("session-name"), found.store.sid ?? "a new session");
  for (const button of byId("actions").querySelectorAll("[data-needs=control]")) button.disabled = !mayAct(found);
}

function drawBoard(found, store) {
  const seat = found.entry.options ?? {};
  const request = [...store.requests.values()][0];
  const turn = store.fen?.split(" ")[1] === "b" ? "black" : "white";
  const isAsked = request !== undefined && mayAct(found);
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
  input.disabled = !mayAct(found);
  byId("say-send").disabled = !mayAct(found);
  input.placeholder = isChess ? (asked ? "e2e4 or Nf3" : "A word") : "Write to the team";
  setText(byId("say-problem"), found.problem);
  byId("watching").hidden = found.entry.role === "control";
  setText(byId("say-label"), isChess ? "A move, or a word to the arbiter" : "Write to the team");
}

let shownReport = null; // what it was drawn from
function drawReport(found, { report, stuck, ended }) {
  byId("report-panel").hidden = ended === null && stuck === null;
  const drawn = ended === null ? stuck : (report ?? ended);
  if (drawn === null || (drawn === shownReport?.drawn && player.isPast === shownReport.isPast)) return;
  shownReport = { drawn, isPast: player.isPast };
  byId("report").replaceChildren(
    ...(ended === null
      ? [el("p", { class: "why", text: "Waiting for a person: something could not be let go." }), player.isPast ? "" : repairs(found.store.sid)]
      : [el("p", { class: "why", text: `Ended: ${ended.code}, ${ended.why}.` }), ...(report === null ? [] : [reportTable(report)])]),
    ...(stuck === null ? [] : [ended === null ? "" : el("h3", { text: "Before that, a person had to help" }), reportTable(stuck)]),
  );
}

function drawBreaking(found) {
  if (!allowBreaking) return;
  const names = found.store.agents().filter((agent) => !["stopped", "stopping"].includes(agent.state)).map((agent) => agent.path.split("/").at(-1));
  const select = byId("victim");
  select.parentElement.hidden = names.length === 0;
  if (select.dataset.names !== names.join()) {
    const was = select.value;
    select.dataset.names = names.join();
    select.replaceChildren(...names.map((name) => el("option", { value: name, text: name })));
    if (names.includes(was)) select.value = was;
  }
  for (const button of byId("ways").querySelectorAll("button")) {
    const needsAgent = button.dataset.how !== "cut";
    button.disabled = player.isPast || found.status.status !== "live" || found.store.ended !== null || (needsAgent && (names.length === 0 || found.entry.role !== "control"));
  }
}

function drawTabs() {
  const entries = sessions.known();
  for (const found of live.values()) if (!entries.some((one) => one.token === found.entry.token)) entries.push(found.entry);
  tabs.show(entries, live, current);
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
  sessions.keepTheme(next);
}

function listen() {
  byId("create").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = byId("key").value.trim();
    if (typed !== "") sessions.offerKey(typed);
    createSession();
  });
  byId("team").addEventListener("change", chooseTeam);
  byId("say").addEventListener("submit", (event) => {
    event.preventDefault();
    sayWritten();
  });
  byId("interrupt").addEventListener("click", () => command("interrupt"));
  byId("end").addEventListener("click", () => command("terminate"));
  byId("copy-link").addEventListener("click", () => copyLink(current.entry.role));
  byId("watch-link").addEventListener("click", () => copyLink("observe"));
  byId("forget").addEventListener("click", () => leave(current));
  byId("theme").addEventListener("click", () => theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]));
  addEventListener("hashchange", () => takeLink());
  addEventListener("online", () => live.forEach((found) => found.client.hurry()));
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && live.forEach((found) => found.client.hurry()));
  byId("ways").append(
    ...WAYS.map((way) =>
      el(
        "button",
        { type: "button", class: "way", data: { how: way.how }, onclick: () => harm(way.how) },
        el("b", { text: way.title }),
        el("span", { text: way.text }),
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

/** Open what the address names, whether the page was loaded with it or it was pasted later. False if it names nothing. */
function takeLink() {
  const fragment = sessions.takeFragment();
  if (fragment.key) sessions.offerKey(fragment.key);
  byId("key-field").hidden = sessions.key() !== null;
  const token = fragment.session ?? fragment.watch;
  if (!token) return false;
  const known = sessions.known().find((one) => one.token === token);
  open(known ?? { token, role: fragment.watch ? "observe" : "control", team: null, options: {}, sid: null, at: Date.now(), state: "…" });
  return true;
}

async function begin() {
  const chosen = sessions.theme();
  theme(THEMES.includes(chosen) ? chosen : "auto");
  listen();
  const [offered, lifecycle] = await Promise.all([fetchJson("/v1/teams"), fetchJson("/v1/lifecycle")]);
  teams = offered.teams;
  allowBreaking = offered.allow_breaking;
  byId("team").replaceChildren(...teams.map((team) => el("option", { value: team.name, text: team.name })));
  if (teams.length > 0) chooseTeam();
  byId("create-button").disabled = teams.length === 0;
  byId("break-hint").hidden = allowBreaking;
  const before = sessions.known().find((one) => one.token === sessions.current());
  if (!takeLink()) before ? open(before) : select(null);
  await machines.draw(lifecycle);
  document.documentElement.dataset.ready = "true";
}

begin().catch((error) => {
  setText(byId("create-problem"), `The page could not begin: ${error.message}`);
  throw error;
});
