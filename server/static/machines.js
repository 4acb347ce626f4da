// The three machines, drawn from the server's lifecycle file and laid out here, with the states of all actors lit.

import { byId, el, readSvg, setText, svg } from "./dom.js";

const GRAPHVIZ = "./vendor/wasm-graphviz-1.29.2/index.js";
const NAMES_MAX = 2; // in a node; more are counted
const FLASH_MS = 900; // how long a state that was left glows on: many last only milliseconds

let loading = null;

/** Graphviz, compiled once, when the first picture is wanted. */
function graphviz() {
  loading ??= import(GRAPHVIZ).then(({ Graphviz }) => Graphviz.load());
  return loading;
}

export async function layOut(dot) {
  return readSvg((await graphviz()).dot(dot));
}

const quote = (text) => `"${String(text).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

/** DOT of names and arrows only: what fits beside a board. picture: as GET /v1/lifecycle has it, which says what there is. */
export function sketch(kind, { nodes, edges }) {
  const lines = [
    `digraph ${quote(kind)} {`,
    '  graph [rankdir=TB, ranksep=0.32, nodesep=0.2, margin=0.04, bgcolor=transparent]',
    '  node [shape=box, fontname="Helvetica", fontsize=13, width=1.1, height=0.5, fixedsize=true]',
    '  edge [arrowsize=0.6]',
  ];
  const width = (name) => Math.max(1.1, 0.098 * name.length + 0.38).toFixed(2);
  for (const { name, shape } of nodes) {
    lines.push(`  ${quote(name)} [id=${quote(`live-${kind}-${name}`)}, class=${quote(shape)}, width=${width(name)}]`);
  }
  // Two states have one arrow here, of every style that leads from one to the other. A way from anywhere has none in so
  // small a picture, but its end must not float about.
  const styles = new Map();
  for (const { source, target, style } of edges) {
    if (source === null) continue;
    const ends = [source, target].join("\n");
    styles.set(ends, [...(styles.get(ends) ?? []), style]);
  }
  for (const [ends, all] of styles) {
    const [from, to] = ends.split("\n");
    lines.push(`  ${quote(from)} -> ${quote(to)} [id=${quote(`way-${kind}-${from}-${to}`)}, class=${quote(["way", ...all].join(" "))}]`);
  }
  lines.push("}");
  return lines.join("\n");
}

/** One machine's picture, alive. */
class Machine {
  constructor(kind, drawn, onEnlarge) {
    this.kind = kind;
    this.drawn = drawn;
    this.nodes = new Map(); // state -> {group, names}
    this.ways = new Map(); // "from>to" -> group
    this.lit = new Map(); // state -> names of the actors in it
    this.shown = 0; // number of the transition that is marked
    this.picture = el("div", { class: "picture" }, el("p", { class: "quiet", text: "drawing…" }));
    this.last = el("p", { class: "last-transition" });
    this.everywhere = this.#everywhere();
    this.element = el(
      "section",
      { class: "machine", "aria-label": `${kind} machine`, data: { kind } },
      el("header", {}, el("h3", { text: kind }), el("button", { type: "button", class: "ghost", text: "Enlarge", "aria-label": `Enlarge: whole picture of the ${kind} machine`, onclick: () => onEnlarge(kind) })),
      this.picture,
      this.last,
      this.everywhere,
    );
  }

  #everywhere() {
    const byEnd = new Map();
    for (const { source, target, events } of this.drawn.edges) {
      if (source === null) byEnd.set(target, [...(byEnd.get(target) ?? []), ...events]);
    }
    if (byEnd.size === 0) return null;
    return el(
      "p",
      { class: "everywhere" },
      el("span", { class: "quiet", text: "anywhere: " }),
      [...byEnd].flatMap(([to, events], index) => [
        index > 0 ? "; " : "",
        el("span", { text: events.join(", ") }),
        " → ",
        el("b", { text: to }),
      ]),
    );
  }

  async draw() {
    const drawn = await layOut(sketch(this.kind, this.drawn));
    drawn.removeAttribute("width");
    drawn.removeAttribute("height");
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", `The ${this.kind} machine: nobody is here`);
    for (const title of drawn.querySelectorAll("title")) title.remove();
    drawn.querySelector(".graph > polygon")?.remove();
    for (const node of this.drawn.nodes) this.#label(drawn, node);
    for (const way of drawn.querySelectorAll("g.edge")) {
      this.ways.set(way.id.slice(`way-${this.kind}-`.length), way);
    }
    const box = drawn.getAttribute("viewBox").split(" ").map(Number);
    drawn.style.maxWidth = `${Math.round(box[2] * 1.4)}px`;
    this.element.style.flexGrow = String(box[2]); // all at one scale, as far as there is room
    this.picture.replaceChildren(drawn);
    this.isDrawn = true;
  }

  /** The node's own label is written anew: the name above, who is there below. */
  #label(drawn, { name, shape: sort, is_initial: isInitial }) {
    const id = `live-${this.kind}-${name}`;
    const group = [...drawn.querySelectorAll("g.node")].find((node) => node.id === id);
    const old = group.querySelector("text");
    const [x, y] = [Number(old.getAttribute("x")), Number(old.getAttribute("y"))];
    old.remove();
    const shape = group.querySelector("polygon, ellipse, path");
    const points = shape.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number));
    const xs = points.map((point) => point[0]);
    const ys = points.map((point) => point[1]);
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
    const round = { final: height / 2, quarantine: 0, activity: 3, plain: 10 }[sort];
    shape.remove();
    const cut = 9;
    const octagon = [[cut, 0], [width - cut, 0], [width, cut], [width, height - cut], [width - cut, height], [cut, height], [0, height - cut], [0, cut]]
      .map(([dx, dy]) => `${left + dx},${top + dy}`).join(" ");
    group.append(
      sort === "quarantine"
        ? svg("polygon", { class: "shape", points: octagon })
        : svg("rect", { class: "shape", x: left, y: top, width, height, rx: round }),
    );
    if (sort === "final") group.append(svg("rect", { class: "inner", x: left + 3, y: top + 3, width: width - 6, height: height - 6, rx: (height - 6) / 2 }));
    if (sort === "activity") group.append(svg("path", { class: "gear", d: `M${left + 5} ${top + 7}h5M${left + 5} ${top + 11}h5` }));
    const names = svg("text", { class: "who", x, y: y + 11, "text-anchor": "middle" });
    const title = svg("text", { class: "name", x, y, "text-anchor": "middle", text: name });
    if (isInitial) group.append(svg("circle", { class: "initial", cx: left, cy: top + height / 2, r: 3.6 }));
    group.append(title, names);
    this.nodes.set(name, { group, names, title, y, until: 0, timer: null });
  }

  /** actors: of this kind; last: their last transition. */
  show(actors, last) {
    if (!this.isDrawn) return;
    const now = new Map();
    for (const actor of actors) now.set(actor.state, [...(now.get(actor.state) ?? []), actor.path === "/" ? "" : actor.path.split("/").at(-1)]);
    for (const [state, node] of this.nodes) {
      const who = now.get(state) ?? [];
      const was = this.lit.get(state) ?? [];
      const isLit = who.length > 0;
      if (isLit !== was.length > 0) this.#light(node, isLit);
      const text = who.length > NAMES_MAX && who.join(", ").length > 16 ? `${who[0]} + ${who.length - 1}` : who.join(", ");
      setText(node.names, text);
      node.title.setAttribute("y", text ? node.y - 4 : node.y);
    }
    this.lit = now;
    this.#tell(now);
    this.#mark(last);
  }

  /** In words, for who does not see what is lit. */
  #tell(now) {
    const lit = [...now].map(([state, names]) => (names.join("") === "" ? state : `${state}: ${names.join(", ")}`));
    const label = `The ${this.kind} machine: ${lit.join("; ") || "nobody is here"}`;
    const drawn = this.picture.querySelector("svg");
    if (drawn.getAttribute("aria-label") !== label) drawn.setAttribute("aria-label", label);
  }

  #light(node, isLit) {
    clearTimeout(node.timer);
    node.group.classList.toggle("lit", isLit);
    node.group.classList.toggle("fading", !isLit);
    if (!isLit) node.timer = setTimeout(() => node.group.classList.remove("fading"), FLASH_MS);
  }

  /** A state that was entered glows for a moment, however short the stay. */
  flash(state) {
    const node = this.nodes.get(state);
    if (node === undefined || this.lit.has(state)) return;
    this.#light(node, false);
  }

  clear() {
    for (const node of this.nodes.values()) {
      clearTimeout(node.timer);
      node.group.classList.remove("lit", "fading");
    }
    this.lit = new Map();
  }

  #mark(last) {
    if (last === undefined) {
      if (this.shown !== 0) this.#unmark();
      this.shown = 0;
      setText(this.last, "");
      return;
    }
    if (last.seq === this.shown) return;
    this.#unmark();
    this.shown = last.seq;
    this.ways.get(`${last.from}-${last.to}`)?.classList.add("taken");
    const who = last.actor === "/" ? "" : `${last.actor.split("/").at(-1)}: `;
    setText(this.last, `#${last.seq} ${who}${last.from ?? "·"} → ${last.to} on ${last.event}`);
  }

  #unmark() {
    for (const way of this.ways.values()) way.classList.remove("taken");
  }
}

export class Machines {
  constructor(element) {
    this.element = element;
    this.machines = [];
    this.dialog = byId("picture");
    byId("picture-close").addEventListener("click", () => this.dialog.close());
  }

  /** lifecycle: what GET /v1/lifecycle answers. */
  async draw(lifecycle) {
    const kinds = Object.entries(lifecycle.pictures);
    this.machines = kinds.map(([kind, picture]) => new Machine(kind, picture, (one) => this.#enlarge(one)));
    this.element.replaceChildren(...this.machines.map((machine) => machine.element));
    for (const machine of this.machines) await machine.draw();
    if (this.store) this.show(this.store);
  }

  show(store) {
    this.store = store;
    const all = store === null ? [] : [...store.actors.values()];
    for (const machine of this.machines) {
      machine.show(all.filter((actor) => actor.kind === machine.kind), store?.last[machine.kind]);
    }
    if (this.dialog.open) this.#lightLarge();
  }

  flash(kind, state) {
    this.machines.find((machine) => machine.kind === kind)?.flash(state);
  }

  /** Another session is looked at: nothing glows on from the last one. */
  reset() {
    for (const machine of this.machines) machine.clear();
  }

  async #enlarge(kind) {
    this.large = kind;
    setText(byId("picture-title"), `The ${kind} machine`);
    const place = byId("picture-place");
    place.replaceChildren(el("p", { class: "quiet", text: "drawing…" }));
    this.dialog.showModal();
    try {
      const answer = await fetch(`/v1/lifecycle/diagram.dot?machine=${encodeURIComponent(kind)}`);
      const drawn = await layOut(await answer.text());
      drawn.classList.add("steward-picture"); // /v1/lifecycle/diagram.css has its colours
      drawn.setAttribute("role", "img");
      drawn.setAttribute("aria-label", `The ${kind} machine with guards, timers, limits and clean-up`);
      place.replaceChildren(drawn);
      this.#lightLarge();
    } catch (error) {
      place.replaceChildren(el("p", { text: `The picture could not be drawn: ${error.message}` }));
    }
  }

  #lightLarge() {
    const actors = [...(this.store?.actors.values() ?? [])].filter((actor) => actor.kind === this.large);
    const lit = new Set(actors.map((actor) => `${this.large}-state-${actor.state}`));
    for (const node of byId("picture-place").querySelectorAll("g.node")) node.classList.toggle("lit", lit.has(node.id));
  }
}
