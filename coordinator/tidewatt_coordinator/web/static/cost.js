// Shows /v1/cost/summary, once a minute. What is not known is shown as a dash, never as zero.
const NONE = "–";
const EVERY_MS = 60000;
const ARROWS = { up: "▲", down: "▼", flat: "●", new: "new", unknown: NONE };
const WASTE = { unused: "unused devices", idle: "idle hours", inefficient: "inefficient devices", cluster_idle: "idle cluster" };
const at = (id) => document.getElementById(id);

const money = (value, digits = 2) =>
  value === null || value === undefined
    ? NONE
    : Number(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function tile(title, value, unit, note) {
  const made = element("div");
  const shown = element("dd", `${value} `);
  shown.append(element("small", unit));
  made.append(element("dt", title), shown);
  if (note) made.append(element("dd", note, "aside"));
  return made;
}

const moved = (one) => (one.change === null ? "" : `${one.change > 0 ? "+" : ""}${money(one.change * 100, 1)} %`);

function tiles(cost) {
  const made = [];
  for (const month of cost.months) {
    const { low, middle, high } = month.end;
    made.push(tile("This month so far", money(month.so_far), month.currency, `before ${month.known_until}`));
    made.push(tile("At its end", money(middle), month.currency, `${money(low)} to ${money(high)}`));
  }
  for (const total of cost.trend.totals)
    made.push(tile("Last 7 days", money(total.after), total.currency, `${ARROWS[total.direction]} ${moved(total)}`));
  for (const one of cost.requests) {
    const perMillion = one.effective_per_request === null ? NONE : money(one.effective_per_request * 1e6, 3);
    const joules = one.joules_per_request === null ? "" : `${money(one.joules_per_request, 3)} J each`;
    made.push(tile("A million requests", perMillion, one.currency, joules));
  }
  for (const one of cost.waste.sums) made.push(tile(`Wasted: ${WASTE[one.kind]}`, money(one.amount), one.currency, "in 7 days"));
  return made;
}

function serviceRow(one) {
  const name = element("th", one.key[0]);
  name.scope = "row";
  const made = element("tr");
  made.append(
    name,
    element("td", money(one.before), "number"),
    element("td", `${money(one.after)} ${one.currency}`, "number"),
    element("td", moved(one), "number"),
    element("td", one.direction === "new" ? "new" : `${ARROWS[one.direction]} ${one.direction}`, `trend-${one.direction}`),
  );
  return made;
}

const said = (sentences) => sentences.map((sentence) => element("li", sentence));

function show(cost) {
  const any = cost.trend.rows.length + cost.months.length > 0;
  at("cost-none").hidden = any;
  at("cost-known").hidden = !any;
  at("cost-until").textContent = any ? `7 days before ${cost.until}, against the 7 before` : "";
  at("cost-tiles").replaceChildren(...tiles(cost));
  at("services").tBodies[0].replaceChildren(...cost.trend.rows.slice(0, 12).map(serviceRow));
  at("why").replaceChildren(...said(cost.why));
  at("waste").replaceChildren(...said(cost.waste.rows.map((one) => one.sentence)));
  at("changes").replaceChildren(...said(cost.savings.map((one) => `${one.day} ${one.what}: ${one.sentence}`)));
  for (const list of ["why", "waste", "changes"]) at(`${list}-title`).hidden = !at(list).children.length;
}

async function poll() {
  try {
    const answer = await fetch("/v1/cost/summary");
    if (answer.ok) show(await answer.json());
  } catch {
    // The fleet's poll says that the coordinator doesn't answer.
  }
  setTimeout(poll, EVERY_MS);
}
poll();
