// The clean-up report: every resource that was held, and what a look at it found.

import { el } from "./dom.js";

const VERDICTS = { released: ["✓", "let go"], forced: ["✓", "let go by force"], leaked: ["✗", "still there"], passed: ["↑", "passed to its owner"] };

const URGENT = ["forced", "passed", "leaked"]; // from the end: what somebody has to see stands first

/** Every item of a report and of those inside it, with the actor that held it. */
export function flatten(report, owner = "session") {
  const items = [];
  for (const item of report?.items ?? []) {
    const isChild = item.report !== undefined || item.kind === "children";
    const name = item.name.split("/").at(-1) || item.name;
    if (isChild) items.push(...flatten(item.report, owner === "session" ? name : `${owner} / ${name}`));
    // What a child could not let go is its owner's, and is counted there.
    const verdict = item.verdict === "leaked" && owner !== "session" ? "passed" : item.verdict;
    items.push({ ...item, owner, isChild, verdict });
  }
  return items;
}

export function reportTable(report) {
  const items = flatten(report);
  const counts = ["released", "forced", "leaked"].map((verdict) => items.filter((item) => item.verdict === verdict).length);
  const [released, forced, leaked] = counts;
  const text = leaked > 0 ? `${leaked} still there` : "Everything was let go";
  const rows = items.slice().sort((one, other) => URGENT.indexOf(other.verdict) - URGENT.indexOf(one.verdict)).map((item) => {
    const [mark, word] = VERDICTS[item.verdict] ?? ["?", item.verdict];
    return el(
      "tr",
      { class: item.verdict, data: { verdict: item.verdict, kind: item.kind } },
      el("td", { class: "mark" }, el("span", { "aria-hidden": "true", text: mark }), el("span", { class: "sr", text: word })),
      el("td", { text: item.owner }),
      el("td", { text: item.isChild ? "actor" : item.kind }),
      // Where on the server a file is, is nobody's business here.
      el("td", { class: "name", text: item.kind === "files" ? item.name.split("/").at(-1) : item.name }),
      el("td", { text: item.error ? `${word}: ${item.error}` : word }),
      el("td", { class: "number", text: `${item.age_s?.toFixed(1) ?? "–"} s` }),
    );
  });
  return el(
    "div",
    { class: `report ${leaked > 0 ? "bad" : "good"}` },
    el(
      "p",
      { class: "verdict" },
      el("span", { class: "tick", "aria-hidden": "true", text: leaked > 0 ? "✗" : "✓" }),
      el("b", { text }),
      el("span", { class: "quiet", text: ` ${released} released, ${forced} forced, ${leaked} leaked` }),
    ),
    el(
      "div",
      { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Clean-up report" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ["", "Whose", "Kind", "What", "Found", "Held"].map((title) => el("th", { scope: "col" }, title || el("span", { class: "sr", text: "Verdict" }))))),
        el("tbody", {}, rows),
      ),
    ),
  );
}
