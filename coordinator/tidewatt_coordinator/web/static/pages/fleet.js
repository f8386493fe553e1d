// All devices: what is wrong first, then by site.
import { el, empty, head, say, tiles } from "../dom.js";
import { brief, joined, money, number, percent, plural, rate, span, wattHours, watts } from "../format.js";
import { fleet, watch } from "../live.js";
import { compared, natural, Windowed } from "../table.js";
import { sitesOf, siteList } from "./sites.js";

const WEIGHTS = { bad: 0, warn: 1, well: 2 };
// Real milliseconds between two sortings while nobody asks for one.
const SORT_EVERY_MS = 2000;

const text = (key, shown) => (row, cell) => say(cell, shown(row[key]));
const COLUMNS = [
  { key: "device", title: "Device", cell: deviceCell },
  { key: "site", title: "Site", cell: text("site", (value) => value || "–") },
  { key: "point", title: "Mode", cell: (row, cell) => say(cell, row.point ?? (row.status === "asleep" ? "asleep" : "–")) },
  { key: "watts", title: "Power", number: true, cell: text("watts", (value) => joined([value === null ? null : number(value, 1), "W"])) },
  { key: "requests_rps", title: "Requests", number: true, cell: text("requests_rps", (value) => (value === null ? "–" : `${brief(value)}\u00a0/s`)) },
  { key: "p95_ms", title: "p95", number: true, cell: text("p95_ms", (value) => (value === null ? "–" : `${number(value, value < 10 ? 1 : 0)}\u00a0ms`)) },
  { key: "temperature_c", title: "Temp.", number: true, cell: text("temperature_c", (value) => (value === null ? "–" : `${number(value)}\u00a0°C`)) },
  { key: "weight", title: "Share", number: true, cell: text("weight", (value) => percent(value)) },
  { key: "problem", title: "Status", cell: problemCell },
];

function deviceCell(row, cell) {
  const link = cell.firstChild ?? cell.appendChild(el("a"));
  link.href = `#/device/${encodeURIComponent(row.device)}`;
  say(link, row.device);
}

function problemCell(row, cell) {
  cell.className = `c-problem problem ${row.weighs}`;
  const shown = row.problem ? `${row.status}: ${row.problem}` : row.status;
  say(cell, shown);
  cell.title = shown;
}

// Names in their natural order, found once for as long as nobody comes or goes: each comparison is dear.
let ranks = new Map();
function ranked() {
  if (ranks.size !== fleet.rows.size) ranks = new Map([...fleet.rows.keys()].sort(natural).map((name, index) => [name, index]));
  return (a, b) => ranks.get(a.device) - ranks.get(b.device);
}

// Problems first, then sites and names; within a sorting by a column, by that.
function order(rows, { key, down }) {
  if (key === "problem") {
    const [bySite, byName] = [compared("site"), ranked()];
    const sign = down ? -1 : 1;
    rows.sort((a, b) => sign * (WEIGHTS[a.weighs] - WEIGHTS[b.weighs]) || bySite(a, b) || byName(a, b));
  } else rows.sort(compared(key, down));
  return rows;
}

function figures({ totals, policies }, counts) {
  const saving = policies.max_freq?.saving_share ?? null;
  const [energy, unit] = wattHours(totals.energy_joules / 3600);
  const trouble = counts.bad + counts.warn;
  return [
    ["Devices online", `${number(totals.online)}`, `of ${number(totals.known)}`, trouble ? `${number(counts.bad)} bad, ${number(counts.warn)} to look at` : "no problem known", counts.bad ? "bad" : counts.warn ? "warn" : ""],
    ["Power now", ...watts(totals.watts)],
    ["Requests now", ...rate(totals.requests_rps)],
    ["Energy so far", energy, unit, money(totals.cost, totals.currency)],
    ["Saved against MaxFreq", saving === null ? null : percent(saving), "", totals.sleep_saved_joules ? `of which asleep ${joined(wattHours(totals.sleep_saved_joules / 3600))}` : saving === null ? "not known yet" : "by the model of each board", saving > 0 ? "well" : ""],
    ["Out of promise", span(totals.violating_minutes * 60), "", `of ${plural(totals.requests, "request")}`, totals.violating_minutes > 0 ? "warn" : ""],
  ];
}

class Listing {
  constructor() {
    this.site = null;
    this.weighs = "";
    this.words = "";
    this.at = -Infinity;
    this.seen = -1;
    this.tiles = el("div");
    this.sites = siteList((site) => this.choose({ site: this.site === site ? null : site }));
    this.count = el("p", { class: "soft small", role: "status" });
    this.table = new Windowed("Devices, problems first", COLUMNS, {
      sort: { key: "problem", down: false },
      mark: (row, element) => (element.className = row.weighs),
    });
    this.table.onsort = () => this.list();
    this.none = empty("No device has spoken yet. Start an agent, or enrol one with `tidewatt enroll`.");
  }

  choose(chosen) {
    Object.assign(this, chosen);
    this.list();
    this.sites.show(this.known, this.site);
  }

  filter() {
    const search = el("input", { type: "search", placeholder: "Name, site, mode, problem", "aria-label": "Find devices" });
    search.addEventListener("input", () => this.choose({ words: search.value.trim().toLowerCase() }));
    const only = el("button", { type: "button", "aria-pressed": "false" }, "Problems only");
    only.addEventListener("click", () => {
      this.choose({ weighs: this.weighs ? "" : "problem" });
      only.setAttribute("aria-pressed", String(Boolean(this.weighs)));
    });
    return el("div", { class: "filter" }, search, only, this.count);
  }

  fits(row) {
    if (this.site !== null && row.site !== this.site) return false;
    if (this.weighs && row.weighs === "well") return false;
    return !this.words || `${row.device} ${row.site} ${row.point ?? ""} ${row.status} ${row.problem}`.toLowerCase().includes(this.words);
  }

  list() {
    this.at = performance.now();
    this.seen = fleet.changed;
    const rows = [];
    for (const row of fleet.rows.values()) if (this.fits(row)) rows.push(row);
    this.table.show(order(rows, this.table.sort));
    const all = rows.length === fleet.rows.size;
    say(this.count, `${all ? "" : `${number(rows.length)} of `}${plural(fleet.rows.size, "device")}${this.site === null ? "" : ` · site ${this.site || "unnamed"}`}`);
  }

  // Rows keep their places between two sortings; what changed in them is shown at once.
  refresh() {
    this.table.show(this.table.rows.map((row) => fleet.rows.get(row.device)).filter(Boolean));
  }

  update() {
    const found = sitesOf(fleet.rows.values());
    this.known = found.sites;
    this.tiles.replaceChildren(tiles(figures(fleet, found.counts)));
    this.sites.show(found.sites, this.site);
    // Until the coordinator has told, nothing is known, not even that there is nothing.
    this.none.hidden = fleet.rows.size > 0 || !fleet.totals;
    this.table.table.hidden = fleet.rows.size === 0;
    if (performance.now() - this.at > SORT_EVERY_MS && this.seen !== fleet.changed && !this.held()) this.list();
    else this.refresh();
  }

  // Nothing moves away under a finger or the keyboard.
  held() {
    return this.table.rows.length > 0 && (this.table.body.matches(":hover") || this.table.body.contains(document.activeElement));
  }
}

export function open(_argument, add) {
  const listing = new Listing();
  add(
    head("Fleet"),
    listing.tiles,
    el("section", { class: "sheet" }, el("div", { class: "head" }, el("h2", {}, "Sites"), listing.sites.legend), listing.sites.element),
    el("section", { class: "sheet" }, el("div", { class: "head" }, el("h2", {}, "Devices")), listing.filter(), listing.none, listing.table.table),
  );
  listing.known = [];
  const stop = watch(() => listing.update());
  return () => {
    stop();
    listing.table.close();
  };
}
