// Sites as a map: each a card with its power, and its devices as a bar by mode.
import { el, say } from "../dom.js";
import { joined, number, plural, watts } from "../format.js";

// So many cards at once; the rest by asking.
const MOST = 48;
// Modes get a shade each, by their watts: the higher, the darker; all above the fourth have the last.
const SHADES = 4;
const WEIGHTS = ["well", "warn", "bad"];
const worse = (one, other) => (WEIGHTS.indexOf(one) > WEIGHTS.indexOf(other) ? one : other);

// All sites with what the cards show, worst first; and how many devices are how well.
export function sitesOf(rows) {
  const sites = new Map();
  const counts = { bad: 0, warn: 0, well: 0 };
  for (const row of rows) {
    let site = sites.get(row.site);
    if (!site) sites.set(row.site, (site = { name: row.site, devices: 0, online: 0, watts: null, hottest: null, weighs: "well", bad: 0, warn: 0, asleep: 0, modes: new Map() }));
    counts[row.weighs] += 1;
    site.devices += 1;
    site.weighs = worse(site.weighs, row.weighs);
    if (row.watts !== null) site.watts = (site.watts ?? 0) + row.watts;
    if (row.temperature_c !== null) site.hottest = Math.max(site.hottest ?? -273, row.temperature_c);
    if (row.weighs !== "well") site[row.weighs] += 1;
    else if (row.status === "asleep") site.asleep += 1;
    if (row.status === "online") {
      site.online += 1;
      if (row.point && row.weighs === "well") site.modes.set(row.point, (site.modes.get(row.point) ?? 0) + 1);
    }
  }
  const sorted = [...sites.values()].sort(
    (a, b) => WEIGHTS.indexOf(b.weighs) - WEIGHTS.indexOf(a.weighs) || b.bad - a.bad || a.name.localeCompare(b.name, "en", { numeric: true }),
  );
  return { sites: sorted, counts };
}

// "15W" before "25W" before "MAXN".
const wattsOf = (mode) => (/\d/.test(mode) ? parseFloat(mode.match(/\d+/)[0]) : Infinity);
const modesOf = (sites) => [...new Set(sites.flatMap((site) => [...site.modes.keys()]))].sort((a, b) => wattsOf(a) - wattsOf(b) || a.localeCompare(b));
const shade = (mode, modes) => `m${Math.min(SHADES - 1, modes.indexOf(mode))}`;

function bar(site, modes) {
  const parts = [["bad", site.bad], ["warn", site.warn], ...modes.map((mode) => [shade(mode, modes), site.modes.get(mode) ?? 0]), ["asleep", site.asleep]];
  const known = parts.reduce((sum, [, count]) => sum + count, 0);
  const made = [...parts, ["", site.devices - known]].map(([kind, count]) => {
    const part = el("i", { class: kind });
    part.style.flex = `${count} 0 0`;
    part.hidden = !count;
    return part;
  });
  return el("span", { class: "modes", "aria-hidden": "true" }, made);
}

function words(site, modes) {
  const told = modes.filter((mode) => site.modes.get(mode)).map((mode) => `${number(site.modes.get(mode))} × ${mode}`);
  if (site.asleep) told.push(`${number(site.asleep)} asleep`);
  return told.slice(0, 3).join(", ");
}

function card(site, modes, chosen, choose) {
  const trouble = site.bad + site.warn;
  const state = trouble ? plural(trouble, "problem") : `${number(site.online)} of ${number(site.devices)} online`;
  const heat = site.hottest === null ? "" : `${number(site.hottest)}\u00a0°C at most`;
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: site.weighs, "aria-pressed": String(site.name === chosen), on: { click: () => choose(site.name) }, "data-site": site.name },
      el("span", { class: "name" }, site.name || "no site"),
      el("span", { class: "watts" }, joined(watts(site.watts))),
      el("span", { class: "small" }, state),
      el("span", { class: "small watts" }, heat),
      bar(site, modes),
      el("span", { class: "unseen" }, words(site, modes)),
    ),
  );
}

export function siteList(choose) {
  const element = el("ul", { class: "sites" });
  const legend = el("p", { class: "legend" });
  const more = el("button", { type: "button", class: "quiet" });
  const box = el("div", {}, element, more);
  let all = false;
  let last = [[], null];
  const key = (shade_, name) => el("span", {}, el("span", { class: "modes" }, el("i", { class: shade_ })), name);

  function show(sites, chosen) {
    last = [sites, chosen];
    const modes = modesOf(sites);
    const held = element.contains(document.activeElement) ? document.activeElement.dataset.site : null;
    element.replaceChildren(...sites.slice(0, all ? sites.length : MOST).map((site) => card(site, modes, chosen, choose)));
    if (held !== null) [...element.querySelectorAll("button")].find((one) => one.dataset.site === held)?.focus();
    const shades = modes.slice(0, SHADES).map((mode, index) => key(shade(mode, modes), index === SHADES - 1 && modes.length > SHADES ? "above" : mode));
    const others = [["asleep", "asleep"], ["warn", "to look at"], ["bad", "bad"]];
    legend.replaceChildren(...shades, ...others.filter(([kind]) => sites.some((site) => site[kind])).map(([kind, name]) => key(kind, name)));
    more.hidden = sites.length <= MOST;
    say(more, all ? "Show fewer" : `Show all ${number(sites.length)} sites`);
  }
  more.addEventListener("click", () => {
    all = !all;
    show(...last);
  });
  return { element: box, legend, show };
}
