// Elements, made of text alone: nothing that came from elsewhere is ever read as markup.

// What may be set as a property of an element, and not as an attribute.
const PROPERTIES = new Set(["hidden", "value", "checked", "disabled", "tabIndex"]);

export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, heard] of Object.entries(value)) made.addEventListener(event, heard);
    else if (PROPERTIES.has(name)) made[name] = value;
    else made.setAttribute(name === "class" ? "class" : name, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined));
  return made;
}

// Text, only where it differs: what a screen reader, a selection or a pointer holds on to stays.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const badge = (text, weight = "") => el("span", { class: `badge ${weight}` }, text);
// What stands between backticks is code.
export const rich = (text) => text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
export const empty = (text) => el("p", { class: "empty" }, rich(text));
export const note = (text, weight = "") => el("p", { class: `note ${weight}` }, rich(text));

export function sheet(title, ...parts) {
  return el("section", { class: "sheet" }, el("div", { class: "head" }, el("h2", {}, title)), ...parts);
}

export function head(title, aside) {
  return el("div", { class: "head" }, el("h1", { tabindex: "-1" }, title), aside ? el("p", {}, aside) : null);
}

// rows: arrays of cells, text or elements; columns: [title, "number"?]. The first cell names its row.
export function table(caption, columns, rows) {
  const kind = (index) => (columns[index][1] === "number" ? "number" : null);
  const heads = columns.map(([title], index) => el("th", { scope: "col", class: kind(index) }, title));
  const cells = (row) =>
    row.map((cell, index) => el(index ? "td" : "th", { scope: index ? null : "row", class: kind(index) }, cell ?? "–"));
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, heads)),
      el("tbody", {}, rows.map((row) => el("tr", {}, cells(row)))),
    ),
  );
}

// figures: [title, value, unit, aside, weight]; the value may be null.
export function tiles(figures) {
  const one = ([title, value, unit, aside, weight]) =>
    el(
      "div",
      {},
      el("dt", {}, title),
      el("dd", { class: `figure ${weight ?? ""}` }, value ?? "–", value === null || value === "–" || !unit ? null : el("small", {}, ` ${unit}`)),
      aside ? el("dd", { class: "aside" }, aside) : null,
    );
  return el("dl", { class: "tiles" }, figures.map(one));
}

// A share as a bar; its words stand beside it.
export function meter(share, weight = "") {
  const bar = el("i");
  bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return el("span", { class: `meter ${weight}`, "aria-hidden": "true" }, bar);
}
