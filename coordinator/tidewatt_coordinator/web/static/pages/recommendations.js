// What would save money, how sure that is, and whether it may be done. Nothing is done without being asked twice.
import { badge, el, empty, head, note, sheet } from "../dom.js";
import { money, moment, number } from "../format.js";
import { get, post } from "../rest.js";
import { confirm } from "./confirm.js";

const LOOK_EVERY_MS = 6000;
const VERDICTS = { ok: ["keeps the promise", "well"], violates: ["would break the promise", "bad"], unknown: ["promise unknown", "warn"] };
const STAGES = { open: "", approved: "tide", applying: "tide", guarding: "tide", kept: "well", undoing: "warn", failed: "bad", foreign: "warn", rolled_back: "" };
// What is shown: what stands, and what somebody should look at.
const ASKED = ["open", "approved", "applying", "guarding", "kept", "undoing", "failed", "foreign"];
const TAKEN_BACK = new Set(["approved", "applying", "guarding", "kept"]);
const words = (name) => String(name).replaceAll("_", " ");
const sum = (rows, key) => rows.reduce((total, one) => total + Number(one[key]), 0);

function range(one, scale) {
  const place = (value) => `${Math.max(0, Math.min(100, (Number(value) / scale) * 100))}%`;
  const bar = el("i");
  bar.style.left = place(Math.min(one.saving_low, one.saving_high));
  bar.style.width = `${Math.max(1, parseFloat(place(one.saving_high)) - parseFloat(place(one.saving_low)))}%`;
  const middle = el("b");
  middle.style.left = place(one.saving_middle);
  return el("div", { class: "range", "aria-hidden": "true" }, bar, middle);
}

function details(one) {
  const text = (value) => JSON.stringify(value, null, 2);
  return el(
    "details",
    {},
    el("summary", {}, "Evidence, and what would change"),
    one.evidence.length ? el("ul", { class: "sentences" }, one.evidence.map((each) => el("li", {}, each))) : null,
    el("div", { class: "splits" }, el("div", {}, el("h3", {}, "Now"), el("pre", { tabindex: "0" }, text(one.before))), el("div", {}, el("h3", {}, "Then"), el("pre", { tabindex: "0" }, text(one.after)))),
    el("p", { class: "soft small" }, `${one.driver} on ${one.target} · proposed ${moment(one.made_ms)} · ${one.id}`),
  );
}

const saving = (one) => `${money(one.saving_middle, one.currency)}/month (${money(one.saving_low)} to ${money(one.saving_high)})`;

function apply(one, refresh) {
  const checks = [];
  if (one.verdict !== "ok") checks.push(["without_verdict", `I take it upon myself that the promise is ${one.verdict === "violates" ? "broken" : "unknown"}.`, true]);
  if (one.final) checks.push(["final", `I know that it can't be taken back. ${one.final}`, true]);
  const body = { service_id: one.service, recommendation_id: one.id, by: "page" };
  return confirm({
    title: `Apply: ${one.what}?`,
    sentences: [`Expected saving: ${saving(one)}.`, one.why || one.risk, "It is applied as soon as limits and the promise allow, watched, and taken back by itself if the promise suffers."].filter(Boolean),
    action: "Apply it",
    checks,
    work: (said) => post("/v1/config/apply", { ...body, ...said }, { "If-Match": `"${one.version}"` }),
  }).then((done) => done && refresh());
}

function rollBack(one, refresh) {
  const path = `/v1/config/rollback/${encodeURIComponent(one.service)}/${encodeURIComponent(one.id)}`;
  return confirm({
    title: `Take back: ${one.what}?`,
    sentences: ["What was there before is put back.", `The saving of ${saving(one)} ends.`],
    action: "Take it back",
    work: () => post(path, {}, { "If-Match": `"${one.version}"` }),
  }).then((done) => done && refresh());
}

function proposal(one, scale, refresh) {
  const [verdict, weight] = VERDICTS[one.verdict] ?? [one.verdict, ""];
  const orders = [];
  if (one.stage === "open") orders.push(el("button", { type: "button", class: "main", on: { click: () => apply(one, refresh) }, disabled: one.dry_run, "aria-label": `Apply ${one.what}` }, "Apply …"));
  if (TAKEN_BACK.has(one.stage) && (!one.final || one.stage === "approved")) orders.push(el("button", { type: "button", on: { click: () => rollBack(one, refresh) }, "aria-label": `Take back ${one.what}` }, "Take back …"));
  return el(
    "article",
    { class: "proposal", "data-id": one.id },
    el("div", { class: "head" }, el("h3", {}, one.what), el("p", { class: "buttons" }, badge(verdict, weight), badge(words(one.stage), STAGES[one.stage]), one.irreversible || one.final ? badge("can't be taken back", "bad") : null)),
    el("div", { class: "saving" }, el("strong", {}, `saves ${saving(one)}`), range(one, scale)),
    el("p", {}, one.why || one.reason),
    one.risk ? el("p", { class: "soft" }, `Risk: ${one.risk}`) : null,
    details(one),
    el("p", { class: "buttons" }, orders, one.dry_run ? el("span", { class: "soft small" }, `[levers.${one.driver}] dry_run is on: it is shown, and never applied.`) : null, one.approved_by ? el("span", { class: "soft small" }, `approved by ${one.approved_by}`) : null),
  );
}

function shown(rows, refresh) {
  const ranked = [...rows].sort((a, b) => (b.score ?? -1) - (a.score ?? -1) || b.saving_middle - a.saving_middle);
  const scale = Math.max(1e-9, ...rows.map((one) => Number(one.saving_high)));
  const open_ = ranked.filter((one) => one.stage === "open");
  const others = ranked.filter((one) => one.stage !== "open");
  const currency = rows[0]?.currency ?? "";
  const total = open_.length ? `${number(open_.length)} open, together ${money(sum(open_, "saving_middle"), currency)} a month` : "";
  const section = (title, ones) => sheet(title, el("div", {}, ones.map((one) => proposal(one, scale, refresh))));
  if (!rows.length) return [sheet("Proposals", empty("Nothing is proposed. Drivers look when [levers] of the coordinator's configuration turns them on."))];
  return [
    ...(total ? [note(total)] : []),
    ...(others.length ? [section("Under way, kept or stuck", others)] : []),
    open_.length ? section("Open, the best first", open_) : sheet("Open", empty("All that was proposed is under way.")),
  ];
}

export async function open(_argument, add) {
  const room = el("div", { class: "room" });
  let before = "";
  // Whoever reads one, or is asked, is left alone.
  const held = () => document.querySelector("dialog") || room.querySelector("details[open]") || room.contains(document.activeElement);
  async function refresh({ now = false } = {}) {
    const { recommendations } = await get(`/v1/recommendations?limit=500&${ASKED.map((stage) => `stage=${stage}`).join("&")}`);
    const seen = JSON.stringify(recommendations);
    if (seen === before || (before && !now && held())) return;
    before = seen;
    room.replaceChildren(...shown(recommendations, () => refresh({ now: true })));
  }
  await refresh();
  add(head("Recommendations", "what would save, and how sure that is"), room);
  const timer = setInterval(() => refresh().catch(() => {}), LOOK_EVERY_MS);
  return () => clearInterval(timer);
}
