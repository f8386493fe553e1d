// A table of very many rows: only those in sight are elements, each of them used again as the page scrolls.
import { el } from "./dom.js";

const ROW_PX = 36;
// Rows beyond the edge of sight, so that none is missing while one scrolls.
const SPARE = 12;

const COUNTED = { numeric: true, sensitivity: "base" };
const collator = new Intl.Collator("en", COUNTED);
// "jetson-2" before "jetson-10".
export const natural = (one, other) => collator.compare(one, other);

// By a column, what is not known last whichever way.
export function compared(key, down) {
  return (one, other) => {
    const [a, b] = [one[key], other[key]];
    if (a === b) return 0;
    if (a === null || a === undefined || a === "") return 1;
    if (b === null || b === undefined || b === "") return -1;
    const order = typeof a === "number" ? a - b : collator.compare(a, b);
    return down ? -order : order;
  };
}

// columns: {key, title, number?, cell(row, element)}; `row(row, element)` marks a whole row.
export class Windowed {
  constructor(caption, columns, { sort, mark }) {
    this.columns = columns;
    this.mark = mark;
    this.sort = sort;
    this.rows = [];
    this.onsort = () => {};
    // Of one column: a cell across all would count those that a narrow screen leaves out, and give them room.
    this.above = el("tr", { class: "space", "aria-hidden": "true" }, el("td", {}));
    this.below = el("tr", { class: "space", "aria-hidden": "true" }, el("td", {}));
    this.body = el("tbody", {}, this.above, this.below);
    this.heads = columns.map((column) => this.#head(column));
    this.table = el(
      "table",
      { class: "devices" },
      el("caption", { class: "unseen" }, caption),
      el("colgroup", {}, columns.map(({ key }) => el("col", { class: `c-${key}` }))),
      el("thead", {}, el("tr", { "aria-rowindex": 1 }, this.heads)),
      this.body,
    );
    this.made = [];
    this.drawn = () => this.#asked || (this.#asked = requestAnimationFrame(() => this.draw()));
    addEventListener("scroll", this.drawn, { passive: true });
    addEventListener("resize", this.drawn);
    this.#sorted();
  }

  #asked = 0;

  close() {
    removeEventListener("scroll", this.drawn);
    removeEventListener("resize", this.drawn);
    cancelAnimationFrame(this.#asked);
  }

  show(rows) {
    this.rows = rows;
    this.table.setAttribute("aria-rowcount", rows.length + 1);
    this.drawn();
  }

  #head(column) {
    const kind = `c-${column.key}${column.number ? " number" : ""}`;
    const turn = () => {
      const same = this.sort.key === column.key;
      this.sort = { key: column.key, down: same ? !this.sort.down : Boolean(column.number) };
      this.#sorted();
      this.onsort();
    };
    return el("th", { scope: "col", class: kind }, el("button", { type: "button", on: { click: turn } }, column.title));
  }

  #sorted() {
    this.columns.forEach(({ key }, index) => {
      if (key === this.sort.key) this.heads[index].setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else this.heads[index].removeAttribute("aria-sort");
    });
  }

  draw() {
    this.#asked = 0;
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.min(this.rows.length, Math.floor(-top / ROW_PX)) - SPARE);
    const count = Math.min(this.rows.length - first, Math.ceil(innerHeight / ROW_PX) + 2 * SPARE);
    while (this.made.length < count) this.made.push(this.#row());
    while (this.made.length > count) this.made.pop().element.remove();
    this.above.firstChild.style.height = `${first * ROW_PX}px`;
    this.below.firstChild.style.height = `${(this.rows.length - first - count) * ROW_PX}px`;
    this.made.forEach((made, index) => this.#fill(made, first + index));
  }

  #row() {
    const cells = this.columns.map(({ key, number }, index) =>
      el(index ? "td" : "th", { scope: index ? null : "row", class: `c-${key}${number ? " number" : ""}` }),
    );
    const element = el("tr", {}, cells);
    this.body.insertBefore(element, this.below);
    return { element, cells, row: null, index: -1 };
  }

  #fill(made, index) {
    const row = this.rows[index];
    if (made.index !== index) made.element.setAttribute("aria-rowindex", index + 2);
    made.index = index;
    if (made.row === row) return;
    made.row = row;
    this.mark(row, made.element);
    this.columns.forEach((column, place) => column.cell(row, made.cells[place]));
  }
}
