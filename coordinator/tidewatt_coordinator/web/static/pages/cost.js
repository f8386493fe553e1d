// What it costs, why it changed, where it will end, and what was saved.
import { chart } from "../chart.js";
import { badge, el, empty, head, meter, note, sheet, table, tiles } from "../dom.js";
import { brief, money, number, percent, signed } from "../format.js";
import { get, look } from "../rest.js";

const LOOK_EVERY_MS = 60000;
const BACKENDS = { backend: "backend", site: "site", device: "device", model: "model" };
const ARROWS = { up: "▲", down: "▼", flat: "●", new: "new", unknown: "–" };
const WASTE = { unused: "unused devices", idle: "idle hours", inefficient: "inefficient devices", cluster_idle: "idle cluster" };
const MOST_ROWS = 15;
const MOST_SERIES = 5;
const COLOURS = ["tide", "warn", "well", "bad", "soft"];
const per = (value, times) => (value === null ? null : Number(value) * times);

function figures(cost) {
  const made = [];
  for (const { so_far, currency, known_until, end } of cost.months) {
    made.push(["This month so far", money(so_far), currency, `known before ${known_until}`]);
    made.push(["This month at its end", money(end.middle), currency, `${money(end.low)} to ${money(end.high)}, 4 of 5 times`]);
  }
  for (const one of cost.trend.totals)
    made.push(["Last 7 days", money(one.after), one.currency, `${ARROWS[one.direction]} ${signed(one.change)} against the 7 before`, one.direction === "up" ? "warn" : one.direction === "down" ? "well" : ""]);
  for (const one of cost.requests)
    made.push(["A million requests", money(per(one.effective_per_request, 1e6)), one.currency ?? "", one.joules_per_request === null ? "" : `${brief(one.joules_per_request)} J each at the edge`]);
  for (const one of cost.waste.sums) made.push([`Paid for: ${WASTE[one.kind] ?? one.kind}`, money(one.amount), one.currency, "in 7 days, not needed", Number(one.amount) > 0 ? "warn" : ""]);
  return made;
}

const list = (sentences) => el("ul", { class: "sentences" }, sentences.map((one) => el("li", {}, one)));

function services({ rows }) {
  const shown = rows.slice(0, MOST_ROWS).map((one) => [
    one.key.join(" · ") || "–",
    money(one.before, one.currency),
    money(one.after, one.currency),
    signed(one.change),
    el("span", { class: one.direction === "up" ? "badge warn" : "badge" }, `${ARROWS[one.direction]} ${one.direction}`),
  ]);
  return table("Costs by service", [["Service"], ["7 days before", "number"], ["Last 7 days", "number"], ["Change", "number"], ["Trend"]], shown);
}

function budgetRow(one) {
  const { budget, spent, foreseen, missing_days: missing } = one;
  const share = spent === null ? null : Number(spent) / Number(budget.amount);
  const end = foreseen ? Number(foreseen.middle) / Number(budget.amount) : null;
  const weight = share >= 1 ? "bad" : share >= 0.8 || end >= 1 ? "warn" : "well";
  const word = share === null ? "unknown" : share >= 1 ? "exceeded" : end >= 1 ? "will be exceeded" : "within";
  return [
    budget.name,
    money(spent, budget.currency),
    money(budget.amount, budget.currency),
    el("span", {}, share === null ? "–" : percent(share, 0), " ", meter(share ?? 0, weight)),
    foreseen ? `${money(foreseen.middle)} (${money(foreseen.low)} to ${money(foreseen.high)})` : "–",
    el("span", {}, badge(word, share === null ? "" : weight), missing ? el("span", { class: "soft small" }, ` ${missing} days unknown`) : ""),
  ];
}

function budgets({ found, why }) {
  if (!found) return empty(`${why}.`);
  const parts = [];
  if (found.budgets.length)
    parts.push(table("Budgets of this month", [["Budget"], ["Spent", "number"], ["Of", "number"], ["Share"], ["At the month's end", "number"], ["State"]], found.budgets.map(budgetRow)));
  for (const one of found.aws) for (const sentence of one.sentences) parts.push(el("p", {}, sentence));
  return parts.length ? el("div", {}, parts) : empty("No budget is set. Add one under [[budgets]] in the coordinator's configuration.");
}

function anomalies({ found, why }) {
  if (!found) return empty(`${why}.`);
  if (!found.anomalies.length) return empty("No day of the last 30 cost more than such days do.");
  const rows = found.anomalies.map(({ by, value, currency, impact, verdict }) => [
    verdict.day,
    `${by} ${value}`,
    money(verdict.cost, currency),
    money(verdict.expected, currency),
    `+${money(impact, currency)}`,
    `${verdict.kinds.join(", ")}: against ${verdict.by}`,
  ]);
  return table("Anomalies of the last 30 days", [["Day"], ["What"], ["Cost", "number"], ["Expected", "number"], ["Beyond", "number"], ["Why"]], rows);
}

function requests(found, by) {
  const rows = found.rows.slice(0, MOST_ROWS).map((one) => [
    one.key.join(" · ") || "–",
    one.requests === null ? null : number(one.requests),
    money(one.effective, one.currency ?? ""),
    money(per(one.effective_per_request, 1e6), one.currency ?? ""),
    money(per(one.marginal_per_request, 1e6), one.currency ?? ""),
    one.joules_per_request === null ? null : `${brief(one.joules_per_request)}\u00a0J`,
  ]);
  if (!rows.length) return empty("No request has a known cost yet.");
  return table(`Cost per request by ${by}`, [[by], ["Requests", "number"], ["Cost, 7 days", "number"], ["A million", "number"], ["A million at the margin", "number"], ["Energy each", "number"]], rows);
}

function saved(rows) {
  if (!rows.length) return empty("No change has been recorded yet.");
  return table(
    "What changes saved",
    [["Change"], ["Since"], ["Predicted", "number"], ["Realised", "number"], ["Interval", "number"], ["How they compare"]],
    rows.map((one) => [
      one.what,
      one.day,
      one.predicted_per_month === null ? null : `${money(one.predicted_per_month, one.currency)}/month`,
      one.realised ? `${money(one.realised.per_month, one.currency)}/month` : "not known yet",
      one.realised ? `${money(one.realised.low)} to ${money(one.realised.high)} in ${one.realised.days} days` : null,
      one.sentence,
    ]),
  );
}

// Stacked by service, the largest first, the rest together.
function byDay(rows, trend) {
  const currency = rows[0]?.currency;
  const kept = rows.filter((one) => one.currency === currency);
  const names = trend.rows.filter((one) => one.currency === currency).sort((a, b) => b.after - a.after).map((one) => one.key[0]);
  const days = [...new Set(kept.map((one) => one.key[0]))].sort();
  const top = [...new Set(names)].slice(0, MOST_SERIES - 1);
  const groups = [...top, ...(kept.some((one) => !top.includes(one.key[1])) ? ["others"] : [])];
  const sums = new Map(groups.map((name) => [name, Object.fromEntries(days.map((one) => [one, 0]))]));
  for (const { key, effective } of kept) sums.get(top.includes(key[1]) ? key[1] : "others")[key[0]] += Number(effective);
  return { currency, days, series: groups.map((name, index) => ({ name: name || "–", colour: COLOURS[index], bar: true, points: days.map((one) => sums.get(name)[one]) })) };
}

export async function open(_argument, add) {
  const columns = { tiles: el("div"), days: el("div"), why: el("div"), budgets: el("div"), anomalies: el("div"), services: el("div"), requests: el("div"), waste: el("div"), saved: el("div") };
  const until = el("p");
  const picker = el("select", { "aria-label": "Requests by" }, Object.entries(BACKENDS).map(([value, text]) => el("option", { value }, `by ${text}`)));
  let drawn = null;

  async function perRequest() {
    const { found, why } = await look(`/v1/cost/requests?by=${picker.value}`);
    columns.requests.replaceChildren(found ? requests(found, BACKENDS[picker.value]) : empty(`${why}.`));
  }
  picker.addEventListener("change", perRequest);

  async function days(trend) {
    const { found } = await look("/v1/cost/by?by=day&by=service&days=30");
    if (!found?.length) return columns.days.replaceChildren(empty("No cost is in the ledger yet. Import some with `tidewatt costs import`."));
    const { currency, days: names, series } = byDay(found, trend);
    if (!drawn) {
      drawn = chart("Cost by day and service", { kind: "category", unit: currency, stacked: true });
      columns.days.replaceChildren(drawn.element);
    }
    drawn.show(series, names, `${names.length} days to ${names.at(-1)}`);
  }

  async function refresh() {
    const [cost, own, odd] = await Promise.all([get("/v1/cost/summary"), look("/v1/budgets"), look("/v1/anomalies")]);
    until.textContent = cost.trend.rows.length ? `7 days before ${cost.until}, against the 7 before` : "";
    const shown = figures(cost);
    columns.tiles.replaceChildren(shown.length ? tiles(shown) : note("No day is in the ledger yet. Electricity is booked when its day is over, at the tariff that is set; a bill is there once `tidewatt costs import` has read it."));
    columns.why.replaceChildren(cost.why.length ? list(cost.why) : empty("Nothing changed that is known."));
    columns.budgets.replaceChildren(budgets(own));
    columns.anomalies.replaceChildren(anomalies(odd));
    columns.services.replaceChildren(cost.trend.rows.length ? services(cost.trend) : empty("No service has a cost yet."));
    columns.waste.replaceChildren(cost.waste.rows.length ? list(cost.waste.rows.map((one) => one.sentence)) : empty("Nothing that is known was paid for in vain."));
    columns.saved.replaceChildren(saved(cost.savings));
    await Promise.all([days(cost.trend), perRequest()]);
  }

  await refresh();
  const each = sheet("Cost per request, last 7 days", columns.requests);
  each.firstChild.append(picker);
  const title = head("Cost");
  title.append(until);
  add(
    title,
    columns.tiles,
    el("div", { class: "columns" }, sheet("By day, last 30 days", columns.days), sheet("What changed, and why", columns.why)),
    sheet("Budgets", columns.budgets),
    sheet("Anomalies", columns.anomalies),
    each,
    el("div", { class: "columns" }, sheet("By service", columns.services), sheet("Paid for and not needed", columns.waste)),
    sheet("What changes saved", columns.saved),
  );
  const timer = setInterval(() => refresh().catch(() => {}), LOOK_EVERY_MS);
  return () => {
    clearInterval(timer);
    drawn?.close();
  };
}
