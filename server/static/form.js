// A form for the options of a team, from the JSON Schema that the server tells.

import { el } from "./dom.js";

function resolve(schema, root) {
  const target = schema.$ref ? root.$defs[schema.$ref.split("/").at(-1)] : (schema.allOf?.[0] ?? schema);
  const found = target.anyOf?.find((one) => one.type !== "null") ?? target;
  return { ...(found.$ref ? resolve(found, root) : found), ...schema };
}

const title = (name, field) => field.description ?? field.title ?? name;

function control(name, field, id) {
  const initial = field.examples?.[0] ?? field.default;
  if (field.enum) {
    return el("select", { id, name }, field.enum.map((value) => el("option", { value: String(value), text: value === "" ? "(nothing)" : String(value), selected: value === initial })));
  }
  if (field.type === "boolean") return el("input", { id, name, type: "checkbox", checked: initial === true });
  if (field.type === "integer" || field.type === "number") {
    const step = field.type === "integer" ? "1" : "any";
    return el("input", { id, name, type: "number", step, min: field.minimum, max: field.maximum, value: String(initial ?? ""), inputmode: "numeric" });
  }
  return el("input", { id, name, type: "text", value: initial ?? "", autocomplete: "off" });
}

/** {element, read()} for the properties of schema; those with a choice first, the others folded away. */
export function optionsForm(schema) {
  const fields = Object.entries(schema.properties ?? {}).map(([name, field]) => [name, resolve(field, schema)]);
  const plain = fields.filter(([, field]) => ["string", "integer", "number", "boolean"].includes(field.type) || field.enum);
  const rows = plain.map(([name, field]) => {
    const input = control(name, field, `option-${name}`);
    return { name, field, input, row: el("div", { class: "field" }, el("label", { for: input.id, text: title(name, field) }), input) };
  });
  const first = rows.filter(({ field }) => field.enum || field.type === "boolean");
  const rest = rows.filter((row) => !first.includes(row));
  const element = el(
    "div",
    { class: "options" },
    first.map(({ row }) => row),
    rest.length > 0 ? el("details", {}, el("summary", { text: "More options" }), el("div", { class: "options" }, rest.map(({ row }) => row))) : null,
  );
  const read = () => Object.fromEntries(rows.map(({ name, field, input }) => [name, valueOf(field, input)]).filter(([, value]) => value !== undefined));
  return { element, read };
}

function valueOf(field, input) {
  if (field.type === "boolean") return input.checked;
  if (field.enum) return field.enum.find((value) => String(value) === input.value);
  if (input.value === "") return undefined;
  return field.type === "integer" || field.type === "number" ? Number(input.value) : input.value;
}
