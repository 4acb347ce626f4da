// What a screen reader is told: the last thing that happened, not everything.

import { byId } from "./dom.js";

const SAY_MS = 1_200; // between two announcements: a screen reader has to keep up
const CHARS_MAX = 240; // of a long text its beginning; the whole can be read where it stands

let lastSaid = 0;
let toSay = null;

export function announce(text) {
  toSay = text.length > CHARS_MAX ? `${text.slice(0, CHARS_MAX)}…` : text;
  const wait = Math.max(0, lastSaid + SAY_MS - performance.now());
  setTimeout(() => {
    if (toSay === null) return;
    byId("announcer").textContent = toSay;
    lastSaid = performance.now();
    toSay = null;
  }, wait);
}
