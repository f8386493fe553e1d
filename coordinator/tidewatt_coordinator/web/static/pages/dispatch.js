// Where requests go, what that costs, and how sure it is that nothing is cheaper.
import { badge, el, empty, head, meter, note, sheet, table, tiles } from "../dom.js";
import { brief, clock, money, moment, number, percent, plural } from "../format.js";
import { fleet } from "../live.js";
import { look } from "../rest.js";
import { whatIf } from "./whatif.js";

const LOOK_EVERY_MS = 5000;
const MOST_ROWS = 60;

const total = (weights) => Object.values(weights).reduce((sum, one) => sum + one, 0) || 1;

function weightTable(caption, weights) {
  const sum = total(weights);
  const rows = Object.entries(weights).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0], "en", { numeric: true }));
  const name = (one) => (fleet.rows.has(one) ? el("a", { href: `#/device/${encodeURIComponent(one)}` }, one) : one);
  const shown = rows.slice(0, MOST_ROWS).map(([one, weight]) => [name(one), percent(weight / sum), meter(weight / sum)]);
  return [table(caption, [["Backend"], ["Share", "number"], ["Share as a bar"]], shown), rows.length > MOST_ROWS ? el("p", { class: "soft small" }, `and ${plural(rows.length - MOST_ROWS, "backend")} with less`) : ""];
}

function figures(table_, now) {
  const left = (table_.expires_at_ms - now) / 1000;
  return [
    ["Cost by the hour", money(table_.cost_per_hour), table_.currency, Object.keys(table_.shed).length ? "with the price of what is turned away" : "of serving this, at the margin"],
    ["No table can cost less than", money(table_.bound_per_hour), table_.currency, "the dual bound, by the hour"],
    ["Gap", table_.gap === null ? null : percent(table_.gap, 3), "", "what is left to gain at the most", table_.gap > 0.05 ? "warn" : "well"],
    ["Issued", clock(table_.issued_at_ms), "UTC", `epoch ${table_.epoch}`],
    ["Expires", clock(table_.expires_at_ms), "UTC", left < 0 ? "it has expired: routers follow the safe one" : "then routers follow the safe one", left < 0 ? "bad" : ""],
    ["Turned away", number(Object.values(table_.shed).reduce((sum, one) => sum + total(one), 0) && Object.keys(table_.shed).length), "classes", Object.keys(table_.shed).join(", "), Object.keys(table_.shed).length ? "bad" : ""],
  ];
}

function shadows({ shadow_per_day: prices, currency }) {
  const rows = Object.entries(prices).filter(([, one]) => one !== 0).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  if (!rows.length) return empty("No limit binds: one more of anything would save nothing.");
  return table("Shadow prices", [["Limit"], ["One more of it would save", "number"]], rows.slice(0, MOST_ROWS).map(([name, one]) => [name, `${money(one, currency)}/day`]));
}

function orders(rows) {
  if (!rows.length) return empty("Nobody has asked for anything: the weights are the cheapest that keep the promise.");
  return table("Orders", [["Order"], ["By"], ["Why"], ["Until"], ["In force since"]], rows.map((one) => [one.sentence, one.by, one.why || null, moment(one.until_ms), one.in_force_ms ? moment(one.in_force_ms) : badge("not yet", "warn")]));
}

function shown(found, explained) {
  const now = fleet.totals?.now_ms ?? found.issued_at_ms;
  const classes = Object.entries(found.classes);
  return [
    found.obstacle ? note(`No newer table: ${found.obstacle}.`, "warn") : null,
    tiles(figures(found, now).filter(([title]) => title !== "Turned away" || Object.keys(found.shed).length)),
    el("div", { class: "columns" }, sheet("Weights", el("p", { class: "soft" }, found.reason), ...weightTable("Weights", found.weights)), sheet("Why", el("ul", { class: "sentences" }, (explained?.sentences ?? []).map((one) => el("li", {}, one)))), sheet("Shadow prices", el("p", { class: "soft" }, "What one more of a binding limit would be worth."), shadows(found))),
    classes.length > 1 ? sheet("By request class", el("div", { class: "splits" }, classes.map(([name, weights]) => el("div", {}, el("h3", {}, name), ...weightTable(`Weights of ${name}`, weights))))) : null,
    sheet("Orders", orders(found.orders)),
  ].filter(Boolean);
}

export async function open(_argument, add) {
  const room = el("div", { class: "room" });
  let before = "";
  async function refresh() {
    const [{ found, why }, explained] = await Promise.all([look("/v1/dispatch"), look("/v1/dispatch/explain")]);
    const seen = JSON.stringify([found, explained.found, why]);
    if (seen === before) return;
    before = seen;
    if (found) room.replaceChildren(...shown(found, explained.found));
    else room.replaceChildren(sheet("Weights", empty(`${why[0].toUpperCase()}${why.slice(1)}.`), fleet.totals?.dispatch_reason ? note(fleet.totals.dispatch_reason, "warn") : ""));
  }
  await refresh();
  add(head("Dispatch", "where requests go, and why"), room, sheet("What if backends were drained?", whatIf(null)));
  const timer = setInterval(refresh, LOOK_EVERY_MS);
  return () => clearInterval(timer);
}
