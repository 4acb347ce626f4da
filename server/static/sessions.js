// Which sessions this browser knows: their tokens, kept for this origin only. The server's key is kept beside them.

const SESSIONS = "steward.sessions";
const KEY = "steward.key";
const KEPT_MAX = 24;

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

export const key = () => read(KEY, null);
export const keepKey = (value) => write(KEY, value);

/** {token, role, team, options, sid, at, state} of each, the newest first. */
export const known = () => read(SESSIONS, []);

export function keep(entry) {
  const others = known().filter((one) => one.token !== entry.token);
  write(SESSIONS, [entry, ...others].sort((a, b) => b.at - a.at).slice(0, KEPT_MAX));
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
