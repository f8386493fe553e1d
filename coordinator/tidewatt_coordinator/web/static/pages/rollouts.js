// The policy in force, a rollout's waves and gates, and who has not followed.
import { badge, el, empty, head, meter, sheet, table, tiles } from "../dom.js";
import { brief, moment, number, percent, plural, span } from "../format.js";
import { look } from "../rest.js";

const LOOK_EVERY_MS = 4000;
const WEIGHTS = { soaking: "tide", waiting: "warn", paused: "warn", aborted: "bad", rolled_back: "bad", completed: "well", done: "well", accepted: "tide", applied: "well", refused: "bad", behind: "warn", "no answer": "warn", pending_reboot: "warn", reached: "well" };
const weigh = (word) => WEIGHTS[String(word).split(/[ ,:]/)[0]] ?? WEIGHTS[word] ?? "";
const words = (name) => String(name).replaceAll("_", " ");

function wave(one) {
  const whom = Object.entries(one.match).map(([key, value]) => `${key}=${value}`).join(", ");
  const when = one.reached_ms ? `reached ${moment(one.reached_ms)}` : `soaks ${span(one.soak_s)}`;
  return el(
    "li",
    {},
    el("strong", {}, `Wave ${one.number}`),
    el("div", {}, meter(one.percent / 100, one.reached_ms ? "" : "later"), el("p", { class: "soft small" }, `${number(one.percent)} %${whom ? ` of ${whom}` : ""}, ${plural(one.devices, "more device")} · ${when}`)),
    badge(one.state, weigh(one.state)),
  );
}

function limits(value, before = "") {
  if (value === null || typeof value !== "object") return [[words(before), value === null ? "off" : typeof value === "number" ? brief(value) : String(value)]];
  return Object.entries(value).flatMap(([name, one]) => limits(one, before ? `${before}, ${name}` : name));
}

function gates(found) {
  const plan = found.gates?.plan?.gates;
  if (!plan) return empty("No gate is set.");
  const { joules_factor: factor } = found.gates;
  const told = found.gates.compared ? `Compared with the devices not reached yet${factor === null ? "" : `; energy per request is ${number(factor, 3)} times theirs`}.` : "Not compared yet.";
  return el("div", {}, el("p", {}, told), table("Gates", [["Gate"], ["Limit", "number"]], limits(plan)));
}

function answers({ answers: counts, reasons, devices }) {
  if (!devices) return empty("No device is known yet.");
  const rows = Object.entries(counts).map(([name, count]) => [badge(words(name), weigh(name)), number(count), percent(count / devices), meter(count / devices, weigh(name) === "well" ? "" : weigh(name))]);
  const told = Object.entries(reasons).map(([reason, count]) => el("li", {}, `${plural(count, "device")}: ${reason}`));
  return el("div", {}, table("Answers to the policy", [["Answer"], ["Devices", "number"], ["Share", "number"], ["Share as a bar"]], rows), told.length ? el("ul", { class: "sentences" }, told) : null);
}

function stragglers({ stragglers: names, straggling }) {
  if (!names.length) return empty("Every device has followed.");
  const more = (straggling ?? names.length) - names.length;
  const links = names.map((name) => el("li", {}, el("a", { href: `#/device/${encodeURIComponent(name)}` }, name)));
  return el("div", {}, el("p", { class: "soft" }, "They answered an older revision, or never."), el("ul", { class: "sentences" }, links), more > 0 ? el("p", { class: "soft small" }, `and ${number(more)} more`) : null);
}

function events({ found, why }) {
  if (!found?.events.length) return empty(found ? "Nothing has been done to the policy yet." : `${why}.`);
  return table("History", [["When"], ["What"], ["By"], ["Revision", "number"], ["Why"]], found.events.map((one) => [moment(one.at_ms), words(one.what), one.author, one.revision ? number(one.revision).replaceAll(",", "") : null, one.reason || null]));
}

function shown(found, history) {
  const rollout = found.rollout
    ? sheet(`Rollout ${found.rollout}`, el("p", {}, badge(found.stage, weigh(found.stage)), ` ${found.reason}`), el("ol", { class: "waves" }, found.waves.map(wave)))
    : sheet("Rollout", empty("None is under way. Begin one with `tidewatt policy rollout`."));
  return [
    tiles([
      ["Policy", found.name || "built in", "", found.document ? `document ${found.document.slice(0, 12)}` : ""],
      ["Revision", String(found.revision)],
      ["Devices that hold it", number(found.answers.applied ?? 0), `of ${number(found.devices)}`, found.straggling ? plural(found.straggling, "straggler") : "", found.answers.refused ? "bad" : found.straggling ? "warn" : ""],
      ["Valid until", found.not_after_ms ? moment(found.not_after_ms).slice(0, 10) : "replaced", "", found.not_after_ms ? moment(found.not_after_ms).slice(11) : ""],
    ]),
    el("div", { class: "columns" }, rollout, ...(found.gates ? [sheet("Gates", gates(found))] : [])),
    el("div", { class: "columns" }, sheet("Answers", answers(found)), sheet("Stragglers", stragglers(found))),
    sheet("History", events(history)),
  ].filter(Boolean);
}

export async function open(_argument, add) {
  const room = el("div", { class: "room" });
  let before = "";
  async function refresh() {
    const [{ found, why }, history] = await Promise.all([look("/v1/rollouts"), look("/v1/rollouts/history?limit=50")]);
    const seen = JSON.stringify([found, history.found, why]);
    if (seen === before) return;
    before = seen;
    room.replaceChildren(...(found ? shown(found, history) : [empty(`${why}.`)]));
  }
  await refresh();
  add(head("Rollouts", "policy, wave by wave"), room);
  const timer = setInterval(refresh, LOOK_EVERY_MS);
  return () => clearInterval(timer);
}
