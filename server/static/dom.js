// Making elements. Everything that came over the wire gets in as text or as a checked SVG, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "polygon", "polyline", "ellipse", "circle", "rect", "line", "text", "title", "tspan"]);
const KEPT = new Set(
  ("class id d points cx cy rx ry r x y x1 y1 x2 y2 width height viewBox transform fill stroke stroke-width " +
    "stroke-dasharray stroke-linecap stroke-linejoin text-anchor font-family font-size font-weight font-style " +
    "fill-opacity stroke-opacity").split(" "),
);

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value" || name === "checked" || name === "hidden" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** <tag …props>…children</tag>; a prop `text` is the text, `on…` a listener, `data` the dataset. */
export const el = (tag, props = {}, ...children) => fill(document.createElement(tag), props, children);

export const svg = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);

export const byId = (id) => document.getElementById(id);

/** Replace what is in node, and only if it is something else. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A picture that Graphviz wrote, copied piece by piece: nothing but shapes and words gets into the page. */
export function readSvg(text) {
  const read = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  if (read.localName !== "svg") throw new Error("Graphviz wrote no picture");
  return copy(read);
}

function copy(node) {
  const made = document.createElementNS(SVG, node.localName);
  for (const { name, value } of node.attributes) if (KEPT.has(name)) made.setAttribute(name, value);
  for (const child of node.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) made.append(child.nodeValue);
    else if (child.nodeType === Node.ELEMENT_NODE && child.localName === "a") made.append(...copy(child).childNodes);
    else if (child.nodeType === Node.ELEMENT_NODE && DRAWN.has(child.localName)) made.append(copy(child));
  }
  return made;
}

/** 950 -> "950 ms", 6100 -> "6.1 s", 125000 -> "2 min 5 s". */
export function showMs(ms) {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}
