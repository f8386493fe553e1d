// Who changed what, and why: a chain in which nothing can be altered unseen.
import { badge, el, empty, head, note, rich, sheet } from "../dom.js";
import { moment, number } from "../format.js";
import { look } from "../rest.js";

const PAGE = 100;

const text = (value) => (value === null || value === undefined || value === "" ? "–" : typeof value === "object" ? JSON.stringify(value, null, 1) : String(value));
const who = (one) => one.actor?.id ?? one.actor ?? one.who ?? "–";
const words = (name) => String(name ?? "–").replaceAll("_", " ");

function row(one) {
  const changed = one.before !== null && one.before !== undefined ? [["Before", one.before]] : [];
  if (one.after !== null && one.after !== undefined) changed.push(["After", one.after]);
  const more = [...changed, ["Request", one.request_id], ["Digest", one.digest ?? one.hash]].filter(([, value]) => value);
  const kept = el("details", {}, el("summary", {}, "More"), el("dl", { class: "facts" }, more.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { class: "code" }, text(value))])));
  const kind = one.kind ?? one.actor?.kind ?? "";
  return el(
    "tr",
    {},
    el("td", { class: "number" }, number(one.sequence ?? one.seq)),
    el("td", {}, el("time", { datetime: new Date(one.at_ms).toISOString() }, moment(one.at_ms))),
    el("th", { scope: "row" }, who(one), kind ? el("span", { class: "soft small" }, ` ${words(kind)}`) : null),
    el("td", {}, words(one.what ?? one.action), one.target ?? one.subject ? el("span", { class: "soft" }, ` ${one.target ?? one.subject}`) : null),
    el("td", {}, one.why || one.reason || "–"),
    el("td", {}, more.length ? kept : "–"),
  );
}

export async function open(_argument, add) {
  const body = el("tbody");
  const more = el("button", { type: "button" }, "Older ones");
  const find = el("input", { type: "search", placeholder: "Who, what, why", "aria-label": "Find entries among those shown" });
  const count = el("p", { class: "soft small", role: "status" });
  let next = "";
  let first = null;

  function filter() {
    const wanted = find.value.trim().toLowerCase();
    let shown = 0;
    for (const one of body.rows) {
      one.hidden = Boolean(wanted) && !one.textContent.toLowerCase().includes(wanted);
      shown += one.hidden ? 0 : 1;
    }
    count.textContent = `${number(shown)} shown${next ? ", there are older ones" : ""}`;
  }

  async function load() {
    more.disabled = true;
    const answer = await look(`/v1/audit?limit=${PAGE}${next ? `&cursor=${encodeURIComponent(next)}` : ""}`);
    first ??= answer;
    more.disabled = false;
    if (!answer.found) return;
    body.append(...(answer.found.entries ?? []).map(row));
    next = answer.found.next ?? "";
    more.hidden = !next;
    filter();
  }
  find.addEventListener("input", filter);
  more.addEventListener("click", load);
  await load();

  add(head("Audit", "every change, approval, override and login, each bound to the one before"));
  if (!first.found) return void add(sheet("Entries", empty(`${first.why}.`)));
  if (!body.rows.length) return void add(sheet("Entries", empty("Nothing has been changed yet.")));
  const { verified, broken } = first.found;
  if (broken) add(note(`The chain is broken: ${text(broken)}`, "bad"));
  const heads = ["No.", "When", "Who", "What", "Why", "More"].map((name, index) => el("th", { scope: "col", class: index ? null : "number" }, name));
  const table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Audit entries" }, el("table", {}, el("caption", { class: "unseen" }, "Audit entries, the newest first"), el("thead", {}, el("tr", {}, heads)), body));
  add(sheet("Entries, the newest first", verified ? badge("chain verified", "well") : "", el("div", { class: "filter" }, find, count), table, el("div", {}, more)), el("p", { class: "soft" }, rich("`tidewatt audit verify` checks the whole chain.")));
  return undefined;
}
