// What was said, also while it is being written, and what a person is asked.

import { el, setText } from "./dom.js";

const ITEMS_MAX = 200;
const APPROVALS = [["approve", "Approve"], ["reject", "Reject"]];
const IS_MOVE = /^[a-h][1-8][a-h][1-8][qrbn]?$/; // the board tells it better

/** Words as paragraphs, and what stands between two ``` as code. */
function paragraphs(text) {
  const parts = text.split("```").map((part, index) => {
    if (index % 2 === 1) return el("pre", {}, el("code", { text: part.replace(/^\w*\n/, "").trimEnd() }));
    return part.trim() === "" ? null : el("p", { text: part.trim() });
  });
  const found = parts.filter((part) => part !== null);
  return found.length > 0 ? found : [el("p", {})];
}

/** onAnswer(request, text): a person answers a question. */
export class Chat {
  constructor(onAnswer) {
    this.onAnswer = onAnswer;
    this.items = el("ol", { class: "messages", "aria-label": "Conversation" });
    this.writing = el("ol", { class: "messages writing", "aria-label": "Being written" });
    this.element = el("div", { class: "chat", tabindex: "0", role: "group", "aria-label": "Conversation" }, this.items, this.writing);
    this.shown = [];
    this.streams = new Map();
  }

  /** isControl: whether it is a person of this page who speaks; mayAnswer: whether this page may speak; hasBoard: the board says what a move is, so only the move is listed. */
  show(store, { mayAnswer, hasBoard, isControl }) {
    this.isControl = isControl;
    const isAtEnd = this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 60;
    const messages = store.messages.slice(-ITEMS_MAX);
    if (store !== this.store) {
      this.items.replaceChildren();
      this.shown = [];
      this.store = store;
    }
    // Only what has gone goes: an answer that somebody is about to press stays where it is.
    while (this.shown.length > 0 && this.shown[0] !== messages[0]) {
      this.shown.shift();
      this.items.firstElementChild.remove();
    }
    for (const message of messages.slice(this.shown.length)) this.items.append(this.#item(message, hasBoard));
    this.shown = messages;
    for (const [index, message] of messages.entries()) {
      if (message.type === "request") this.#ask(this.items.children[index], message, store, mayAnswer && !hasBoard);
    }
    this.#stream(store);
    if (isAtEnd) this.element.scrollTop = this.element.scrollHeight;
  }

  #item(message, hasBoard) {
    const who = (text) => el("span", { class: "who", text });
    if (message.type === "tool") {
      const outcome = message.result ?? (message.ok === false ? "not done" : "done");
      const text = `${message.name}(${message.arguments ?? ""}) → ${outcome}`;
      return el("li", { class: `message tool ${message.ok === false ? "not-ok" : ""}` }, who(`${message.agent} used a tool`), el("p", { text }));
    }
    if (message.type === "handoff") {
      return el("li", { class: "message handoff" }, el("p", { text: `${message.agent} hands over to ${message.to}` }));
    }
    if (message.type === "anew") {
      return el("li", { class: "message anew" }, el("p", { text: message.text }));
    }
    if (message.type === "person") {
      const isSilent = hasBoard && IS_MOVE.test(message.text);
      return el("li", { class: "message mine", hidden: isSilent }, who(this.#person(message.by)), el("p", { text: message.text }));
    }
    if (message.type === "request") {
      return el("li", { class: "message request", hidden: hasBoard }, who(message.agent), el("p", { text: message.prompt }), this.#details(message.details), el("div", { class: "answers" }));
    }
    const sort = message.error ? "failed" : message.ply ? "move" : "said";
    const side = message.ply ? (message.ply % 2 === 1 ? "white" : "black") : "";
    const item = el("li", { class: `message ${sort} ${side}` }, who([message.agent, message.model].filter(Boolean).join(" · ")), paragraphs(this.#words(message, hasBoard)));
    if (message.error) item.append(el("p", { class: "quiet", text: `${message.error.code}, reference ${message.error.ref || "none"}` }));
    if (message.pgn) item.append(this.#pgn(message.pgn));
    return item;
  }

  /** Where nobody is told apart, everybody is called local. */
  #person(by) {
    return by === "local" && this.isControl ? "you" : by || "a person";
  }

  #details(details) {
    const pairs = Object.entries(details ?? {}).filter(([, value]) => typeof value !== "object");
    return pairs.length === 0 ? null : el("dl", { class: "details" }, pairs.map(([name, value]) => [el("dt", { text: name }), el("dd", { text: String(value) })]));
  }

  /** In two columns a move needs no second number. */
  #words(message, hasBoard) {
    const text = message.text ?? "";
    return hasBoard && message.ply && message.agent === "black" ? text.replace(/^\d+… /, "") : text;
  }

  #pgn(pgn) {
    const button = el("button", { type: "button", class: "ghost", text: "Copy the game as PGN" });
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(pgn);
      setText(button, "Copied");
    });
    return button;
  }

  #ask(item, message, store, mayAnswer) {
    const place = item.querySelector(".answers");
    const isOpen = store.requests.has(message.request);
    item.classList.toggle("open", isOpen);
    if (!isOpen || !mayAnswer) {
      setText(place, isOpen ? "" : (message.how ?? "answered"));
      return;
    }
    if (place.childElementCount > 0) return;
    if (message.kind !== "approval") return; // it is answered in words, below
    place.replaceChildren(
      ...APPROVALS.map(([text, title], index) =>
        el("button", { type: "button", class: index === 0 ? "primary" : "", text: title, onclick: () => this.onAnswer(message, text) }),
      ),
    );
  }

  #stream(store) {
    for (const [msg, item] of this.streams) {
      if (store.streams.has(msg)) continue;
      item.remove();
      this.streams.delete(msg);
    }
    for (const [msg, stream] of store.streams) {
      let item = this.streams.get(msg);
      if (item === undefined) {
        item = el("li", { class: "message said live" });
        this.streams.set(msg, item);
        this.writing.append(item);
      }
      if (item.text === stream.text) continue;
      item.text = stream.text;
      item.replaceChildren(el("span", { class: "who", text: stream.agent }), ...paragraphs(stream.text));
    }
  }
}
