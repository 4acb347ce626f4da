// Which sessions this browser knows: their tokens, kept for this origin only. A token opens one session for a day, and is
// the only right to it, so it outlasts the tab. The server's key opens all of it for ever, and the next program on this
// port could read what is kept for the origin: so the key stays with its tab, and the address that was printed brings it again.

const SESSIONS = "steward.sessions";
const KEY = "steward.key";
const OFFERED = "steward.key.offered"; // one that no server has taken yet
const THEME = "steward.theme";
const CURRENT = "steward.current"; // of this tab, so that loading it again returns to where one was
const OVER_MAX = 24;
const LIVE_MAX = 500; // as many as one user may have; the token is the only right to a session

function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise; // storage is switched off, or someone wrote nonsense into it
  }
}

function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Without storage the sessions last as long as the page.
  }
}

function inTab(work, otherwise = null) {
  try {
    return work(sessionStorage) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export const current = () => inTab((tab) => tab.getItem(CURRENT));
export const keepCurrent = (token) => inTab((tab) => (token === null ? tab.removeItem(CURRENT) : tab.setItem(CURRENT, token)));

export const theme = () => read(THEME, "auto");
export const keepTheme = (value) => write(THEME, value);

const keys = { [KEY]: inTab((tab) => tab.getItem(KEY)), [OFFERED]: inTab((tab) => tab.getItem(OFFERED)) };

forgetFormer();

/** Pages before this one kept the key for the origin. */
function forgetFormer() {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // Nothing was kept, then.
  }
}

function putKey(name, value) {
  keys[name] = value;
  inTab((tab) => (value === null ? tab.removeItem(name) : tab.setItem(name, value)));
}

/** The key to try: one that was just brought goes before the one that is known to fit. */
export const key = () => keys[OFFERED] ?? keys[KEY];
export const offerKey = (value) => putKey(OFFERED, value);

/** A session was made with it. */
export function keyFits() {
  if (keys[OFFERED] === null) return;
  putKey(KEY, keys[OFFERED]);
  putKey(OFFERED, null);
}

/** It was refused: any link can bring a key, and a wrong one must not cost the right one. */
export const keyFails = () => putKey(keys[OFFERED] === null ? KEY : OFFERED, null);

/** {token, role, team, options, sid, at, state, isOver, create?} of each, the newest first. create: what to ask for if
 *  no welcome has come yet. */
export function known() {
  const found = read(SESSIONS, []);
  return Array.isArray(found) ? found.filter((one) => typeof one?.token === "string") : [];
}

export function keep(entry) {
  const others = known().filter((one) => one.token !== entry.token);
  const all = [entry, ...others].sort((a, b) => b.at - a.at);
  const kept = new Set([...all.filter((one) => !one.isOver).slice(0, LIVE_MAX), ...all.filter((one) => one.isOver).slice(0, OVER_MAX)]);
  write(SESSIONS, all.filter((one) => kept.has(one)));
}

export const forget = (token) => write(SESSIONS, known().filter((one) => one.token !== token));

/** What the fragment says: {key, session, watch}. It leaves the address bar: it must not get into a bookmark or a log. */
export function takeFragment() {
  const found = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
  return found;
}

/** A link to a session for another tab, or for another person: what it opens stands in its fragment. */
export const linkTo = (token, role) => `${location.origin}/#${role === "observe" ? "watch" : "session"}=${token}`;
