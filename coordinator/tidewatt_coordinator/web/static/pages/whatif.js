// What the weights would be if backends got nothing: asked of the optimiser itself, and nothing is changed.
import { el, empty, note, table } from "../dom.js";
import { brief, money, percent, signed } from "../format.js";
import { look } from "../rest.js";

const MOST_ROWS = 12;

function compare(now, then, currency) {
  const sum = (weights) => Object.values(weights).reduce((total, one) => total + one, 0) || 1;
  const [before, after] = [sum(now.weights), sum(then.weights)];
  const names = [...new Set([...Object.keys(now.weights), ...Object.keys(then.weights)])];
  const rows = names
    .map((name) => [name, (now.weights[name] ?? 0) / before, (then.weights[name] ?? 0) / after])
    .sort((a, b) => Math.abs(b[2] - b[1]) - Math.abs(a[2] - a[1]) || a[0].localeCompare(b[0], "en", { numeric: true }));
  const [cost, old] = [then.certificate?.cost_per_hour ?? null, now.cost_per_hour];
  const change = cost === null || !old ? "" : `, ${signed(cost / old - 1)}`;
  const told = cost === null ? then.reason : `It would cost ${money(cost, currency)} per hour instead of ${money(old, currency)}${change}.`;
  const shown = rows.slice(0, MOST_ROWS).map(([name, from, to]) => [name, percent(from), percent(to), `${to >= from ? "+" : ""}${brief((to - from) * 100)} pp`]);
  return [note(told), table("Weights, now and then", [["Backend"], ["Now", "number"], ["Then", "number"], ["Change", "number"]], shown), rows.length > MOST_ROWS ? el("p", { class: "soft small" }, `and ${rows.length - MOST_ROWS} more`) : ""];
}

export function whatIf(names) {
  const result = el("div", { role: "status" });
  const field = names ? null : el("input", { "aria-label": "Backends to drain, separated by spaces", placeholder: "Backends, separated by spaces", required: true });
  const button = el("button", { type: "submit" }, "Try it");
  const form = el("form", { class: "buttons" }, field, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const asked = names ?? field.value.split(/[\s,]+/).filter(Boolean);
    const query = asked.map((name) => `drain=${encodeURIComponent(name)}`).join("&");
    const [now, then] = await Promise.all([look("/v1/dispatch"), look(`/v1/dispatch/preview?${query}`)]);
    button.disabled = false;
    if (!now.found || !then.found) result.replaceChildren(empty(`${now.why || then.why}.`));
    else result.replaceChildren(...compare(now.found, then.found, now.found.currency));
  });
  const words = names ? "The weights that would follow if it got no traffic. Nothing is changed." : "The weights that would follow if these got no traffic. Nothing is changed.";
  return el("div", {}, el("p", { class: "soft" }, words), form, result);
}
