// One device: how it is, what it decided and why, what is planned of it, and what if it were not there.
import { chart } from "../chart.js";
import { badge, el, empty, head, note, sheet, tiles } from "../dom.js";
import { brief, clock, joined, moment, number, percent, span, wattHours } from "../format.js";
import { fleet, watch } from "../live.js";
import { look } from "../rest.js";
import { whatIf } from "./whatif.js";

// Of the last minutes as they were heard, so many points.
const MOST_POINTS = 900;
const MOST_DECISIONS = 30;
const LOOK_EVERY_MS = 3000;
const HISTORY_HOURS = { "Last hour": 1, "Last 24 hours": 24, "Last 7 days": 168 };

function figures(row, whole) {
  const energy = whole?.energy_joules ?? null;
  return [
    ["Power now", row.watts === null ? null : number(row.watts, 1), "W", row.point ? `mode ${row.point}` : row.status],
    ["Requests now", row.requests_rps === null ? null : brief(row.requests_rps), "req/s", row.weight === null ? "" : `${percent(row.weight)} of the fleet's`],
    ["p95 latency", row.p95_ms === null ? null : number(row.p95_ms, 1), "ms", whole?.policy?.slo_p95_ms ? `promise ${number(whole.policy.slo_p95_ms)} ms` : ""],
    ["Temperature", row.temperature_c === null ? null : number(row.temperature_c, 1), "°C", "", row.temperature_c >= 90 ? "bad" : row.temperature_c >= 80 ? "warn" : ""],
    ["Energy so far", ...wattHours(energy === null ? null : energy / 3600), whole ? `${number(whole.switches)} switches` : ""],
    ["Out of promise", whole?.violating_minutes === null || !whole ? null : span(whole.violating_minutes * 60), "", "", whole?.violating_minutes > 0 ? "warn" : ""],
  ];
}

function facts(whole) {
  const rows = [
    ["Board", whole.board],
    ["Control", whole.control === "observe" ? "observe: it says what it would do and changes nothing" : whole.control],
    ["Labels", Object.entries(whole.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ")],
    ["Policy", whole.policy_revision === null ? "no answer yet" : `${whole.policy_status} at revision ${whole.policy_revision}${whole.policy_reason ? `: ${whole.policy_reason}` : ""}`],
    ["Vendor's default", whole.vendor_default],
    ["Sleep", whole.sleeps === null ? "" : whole.sleeps === "" ? "it may sleep" : `it may not: ${whole.sleeps}`],
    ["Alarm", whole.asleep_until_ms ? moment(whole.asleep_until_ms) : ""],
    ["Forecast", whole.forecast_skill === null || whole.forecast_skill === undefined ? "" : `skill ${percent(whole.forecast_skill)} above the last value's, model ${whole.forecast_model ?? "built in"}`],
    ["Waiting reports", whole.waiting ? `${number(whole.waiting)}, ${number(whole.thinned ?? 0)} thinned` : ""],
    ["Clock", whole.skew_seconds === null ? "" : `${number(Math.abs(whole.skew_seconds), 1)} s ${whole.skew_seconds < 0 ? "behind" : "ahead"}`],
    ["Last report", moment(whole.reported_at_ms)],
    ["Agent", whole.version],
  ];
  const made = rows.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]);
  return el("dl", { class: "facts" }, made);
}

class Page {
  constructor(name) {
    this.name = name;
    this.live = [];
    this.past = [];
    this.decisions = [];
    this.hours = 1;
    this.power = chart(`Power of ${name}`, { unit: "W" });
    this.load = chart(`Requests to ${name}`, { unit: "req/s" });
    this.latency = chart(`p95 latency of ${name}`, { unit: "ms" });
    this.tiles = el("div");
    this.banner = el("div", { role: "status" });
    this.said = el("ol", { class: "sentences" });
    this.none = empty("It has decided nothing since this page was opened.");
    this.about = el("div");
    this.leases = el("div");
    this.plan = el("div");
    this.badges = el("p", { class: "buttons" });
  }

  parts() {
    const range = el("select", { "aria-label": "How far back" }, Object.entries(HISTORY_HOURS).map(([text, hours]) => el("option", { value: hours }, text)));
    range.addEventListener("change", () => {
      this.hours = Number(range.value);
      this.remember();
    });
    const power = sheet("Power", this.power.element);
    power.firstChild.append(range);
    return [
      el("div", { class: "head" }, el("h1", { tabindex: "-1" }, this.name), this.badges),
      this.banner,
      this.tiles,
      el("div", { class: "columns" }, power, sheet("Requests", this.load.element), sheet("Latency since this page was opened", this.latency.element)),
      el("div", { class: "columns" }, sheet("Decisions, the newest first", this.none, this.said), sheet("Leases", this.leases), sheet("Plan and forecast", this.plan)),
      el("div", { class: "columns" }, sheet("What if it were drained?", whatIf([this.name])), sheet("About it", this.about)),
    ];
  }

  async remember() {
    const { found } = await look(`/v1/history/${encodeURIComponent(this.name)}?hours=${this.hours}`);
    this.past = found?.points ?? [];
    this.draw();
  }

  heard() {
    const row = fleet.rows.get(this.name);
    if (!row) return;
    const at = fleet.totals.now_ms;
    if (at !== this.live.at(-1)?.at) this.live.push({ at, watts: row.watts, rps: row.requests_rps, p95: row.p95_ms });
    if (this.live.length > MOST_POINTS) this.live.shift();
    this.show(row);
  }

  show(row) {
    this.tiles.replaceChildren(tiles(figures(row, this.whole)));
    this.banner.replaceChildren(...(row.problem ? [note(`${row.status}: ${row.problem}.`, row.weighs)] : []));
    this.badges.replaceChildren(badge(row.status, row.status === "online" ? "well" : row.weighs), ...(row.site ? [badge(`site ${row.site}`)] : []), ...(row.board ? [badge(row.board)] : []));
    this.draw();
  }

  draw() {
    const first = this.live[0]?.at ?? Infinity;
    const before = this.past.filter((one) => one.at_ms < first);
    const line = (past, key) => [...before.map((one) => ({ x: one.at_ms, y: one[past] })), ...this.live.map((one) => ({ x: one.at, y: one[key] }))];
    const last = this.live.at(-1);
    this.power.show([{ name: "Power", colour: "tide", points: line("watts", "watts"), fill: true }], undefined, last ? joined([brief(last.watts), "W now"]) : "");
    this.load.show([{ name: "Requests", colour: "tide", points: line("requests_rps", "rps"), fill: true }], undefined, last ? joined([brief(last.rps), "per second now"]) : "");
    const promise = this.whole?.policy?.slo_p95_ms;
    const seen = this.live.map((one) => ({ x: one.at, y: one.p95 }));
    const limit = promise && seen.length ? [{ name: `Promise, ${promise} ms`, colour: "bad", dashed: true, points: [{ x: seen[0].x, y: promise }, { x: seen.at(-1).x, y: promise }] }] : [];
    this.latency.show([{ name: "p95", colour: "tide", points: seen }, ...limit], undefined, last ? joined([brief(last.p95), "ms now"]) : "");
  }

  async ask() {
    const { found } = await look(`/v1/devices/${encodeURIComponent(this.name)}`);
    this.whole = found ?? (await this.listed());
    if (!this.whole) return;
    this.about.replaceChildren(facts(this.whole));
    const leases = this.whole.leases ?? [];
    this.leases.replaceChildren(leases.length ? el("ul", { class: "sentences" }, leases.map((one) => el("li", {}, one))) : empty("No application holds a floor."));
    this.decided();
    await this.planned();
  }

  // The list tells of it, too, though less.
  async listed() {
    const { found } = await look("/v1/fleet");
    return found?.devices.find((one) => one.device === this.name);
  }

  decided() {
    const { reason, rule, outcome, reported_at_ms: at } = this.whole;
    if (!reason || this.decisions[0]?.reason === reason) return;
    this.decisions.unshift({ reason, rule, outcome, at });
    this.decisions.length = Math.min(this.decisions.length, MOST_DECISIONS);
    this.none.hidden = true;
    this.said.replaceChildren(...this.decisions.map((one) => el("li", {}, `${one.reason} `, el("span", { class: "soft small" }, `${clock(one.at)} UTC · ${one.rule} · ${one.outcome}`))));
  }

  async planned() {
    const { found, why } = await look(`/v1/plan/forecast?device=${encodeURIComponent(this.name)}`);
    const parts = found?.sentences.length ? [el("ul", { class: "sentences" }, found.sentences.map((one) => el("li", {}, one)))] : [];
    if (found?.minutes.length) parts.push(...this.foreseen(found));
    if (why || found.why) parts.push(empty(`${why || found.why}.`));
    this.plan.replaceChildren(...parts);
  }

  foreseen(found) {
    this.band ??= chart("Forecast of the group's requests", { unit: "req/s" });
    const line = (key) => found.minutes.map((one) => ({ x: one.at_ms, y: one[key] }));
    this.band.show(
      [
        { name: "p50", colour: "tide", points: line("p50") },
        { name: "p99", colour: "tide", points: line("p99"), band: true },
        { name: "p90", colour: "tide", points: line("p90"), dashed: true },
      ],
      undefined,
      `p90 ${brief(found.minutes[0].p90)} requests per second in the next minute`,
    );
    const trust = found.trusted ? "" : "; not trusted now, so the reactive rule rules";
    return [el("p", { class: "soft small" }, `Group ${found.group}: half of the minutes lie below the line, 99 of 100 below the band${trust}.`), this.band.element];
  }

  close() {
    for (const one of [this.power, this.load, this.latency, this.band]) one?.close();
  }
}

export async function open(name, add) {
  const page = new Page(name);
  await page.ask();
  if (!page.whole && !fleet.rows.has(name)) {
    add(head(name), empty("No device of this name is known."), el("p", {}, el("a", { href: "#/fleet" }, "All devices")));
    return () => page.close();
  }
  add(...page.parts());
  page.remember();
  const stop = watch(() => page.heard());
  const timer = setInterval(() => page.ask(), LOOK_EVERY_MS);
  return () => {
    stop();
    clearInterval(timer);
    page.close();
  };
}
