// The chess board: shows a position, and lets a person move with a pointer, with the keys or by writing the move.

import { el, setText } from "./dom.js";
import { NAMES, piece } from "./pieces.js";

const START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1";
const FILES = "abcdefgh";
const STEPS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function squaresOf(fen) {
  const squares = new Map();
  fen.split(" ")[0].split("/").forEach((row, index) => {
    let file = 0;
    for (const sign of row) {
      if (sign >= "1" && sign <= "8") file += Number(sign);
      else squares.set(FILES[file++] + (8 - index), sign);
    }
  });
  return squares;
}

/** onMove(uci) is called when a person has chosen a move; whether it is legal is the arbiter's to say. */
export class Board {
  constructor(onMove) {
    this.onMove = onMove;
    this.fen = "";
    this.side = null; // whose move a person is asked for
    this.isFlipped = false;
    this.from = null;
    this.cursor = "e2";
    this.cells = new Map();
    this.grid = el("div", { class: "board", role: "grid", "aria-label": "Chess board", onkeydown: (event) => this.#key(event) });
    this.caption = el("p", { class: "turn" });
    this.promotion = el(
      "select",
      { id: "promotion" },
      ["q", "r", "b", "n"].map((kind) => el("option", { value: kind, text: NAMES[kind] })),
    );
    this.promotionRow = el("label", { class: "promotion", hidden: true, for: "promotion" }, "A pawn becomes a ", this.promotion);
    this.element = el("div", { class: "board-frame" }, this.grid, this.caption, this.promotionRow);
    this.#lay();
  }

  /** fen: null before the first move; last: the last move in UCI; side: white, black or null, whose person is asked. */
  show({ fen, last, side, isFlipped, text }) {
    setText(this.caption, text);
    if (isFlipped !== this.isFlipped) {
      this.isFlipped = isFlipped;
      this.#lay();
      this.fen = "";
    }
    this.side = side;
    if (side === null) this.#choose(null);
    this.grid.classList.toggle("mine", side !== null);
    const next = fen ?? START;
    // Before the comparison: whose move it is comes after the position.
    this.promotionRow.hidden = side === null || !this.#mayPromote(squaresOf(next));
    if (next === this.fen) return;
    this.fen = next;
    this.from = null;
    const squares = squaresOf(next);
    for (const [name, cell] of this.cells) {
      const sign = squares.get(name) ?? "";
      if (cell.dataset.piece !== sign) {
        cell.replaceChildren(...(sign ? [piece(sign)] : []));
        cell.dataset.piece = sign;
      }
      cell.classList.toggle("last", last !== null && (last?.slice(0, 2) === name || last?.slice(2, 4) === name));
      cell.classList.remove("from");
      cell.setAttribute("aria-label", sign ? `${name}, ${this.#named(sign)}` : name);
      cell.removeAttribute("aria-selected");
    }
  }

  #named(sign) {
    return `${sign === sign.toLowerCase() ? "black" : "white"} ${NAMES[sign.toLowerCase()]}`;
  }

  #mayPromote(squares) {
    const [pawn, rank] = this.side === "white" ? ["P", "7"] : ["p", "2"];
    return [...squares].some(([name, sign]) => sign === pawn && name[1] === rank);
  }

  #lay() {
    const ranks = this.isFlipped ? [1, 2, 3, 4, 5, 6, 7, 8] : [8, 7, 6, 5, 4, 3, 2, 1];
    const files = this.isFlipped ? [...FILES].reverse() : [...FILES];
    this.cells.clear();
    this.rows = ranks.map((rank) => files.map((file) => file + rank));
    this.grid.replaceChildren(
      ...this.rows.map((names, row) => el("div", { role: "row", class: "rank" }, names.map((name, column) => this.#cell(name, row, column)))),
    );
  }

  #cell(name, row, column) {
    const isDark = (FILES.indexOf(name[0]) + Number(name[1])) % 2 === 1;
    const cell = el("button", {
      type: "button",
      role: "gridcell",
      class: `square ${isDark ? "dark" : "light"}`,
      tabindex: name === this.cursor ? "0" : "-1",
      data: { square: name, piece: "", file: row === 7 ? name[0] : "", rank: column === 0 ? name[1] : "" },
      "aria-label": name,
      onclick: () => this.#choose(name),
    });
    this.cells.set(name, cell);
    return cell;
  }

  #key(event) {
    const step = STEPS[event.key];
    if (event.key === "Escape") this.#choose(null);
    if (step === undefined) return;
    event.preventDefault();
    const row = this.rows.findIndex((names) => names.includes(this.cursor));
    const column = this.rows[row].indexOf(this.cursor);
    const next = this.rows[row + step[1]]?.[column + step[0]];
    if (next !== undefined) this.#move(next);
  }

  #move(name) {
    this.cells.get(this.cursor).tabIndex = -1;
    this.cursor = name;
    this.cells.get(name).tabIndex = 0;
    this.cells.get(name).focus();
  }

  #choose(name) {
    if (name !== null) {
      this.cells.get(this.cursor).tabIndex = -1;
      this.cursor = name;
      this.cells.get(name).tabIndex = 0;
    }
    const from = this.from;
    if (from !== null) {
      this.cells.get(from).classList.remove("from");
      this.cells.get(from).removeAttribute("aria-selected");
    }
    this.from = null;
    if (name === null || this.side === null) return;
    const sign = this.cells.get(name).dataset.piece;
    const isOwn = sign !== "" && (sign === sign.toUpperCase()) === (this.side === "white");
    if (isOwn && name !== from) {
      this.from = name;
      this.cells.get(name).classList.add("from");
      this.cells.get(name).setAttribute("aria-selected", "true");
    } else if (from !== null && name !== from) {
      this.onMove(from + name + this.#becomes(from, name));
    }
  }

  #becomes(from, to) {
    const isPawn = this.cells.get(from).dataset.piece.toLowerCase() === "p";
    return isPawn && (to[1] === "8" || to[1] === "1") ? this.promotion.value : "";
  }
}
