// Who changed what, and why: a chain in which nothing can be altered unseen.
import { el, empty, head, rich, sheet } from "../dom.js";
import { moment, number } from "../format.js";
import { look } from "../rest.js";

const PAGE = 100;

// What is kept as JSON is shown as JSON, spread out.
function spread(kept) {
  try {
    return JSON.stringify(JSON.parse(kept), null, 1);
  } catch {
    return kept;
  }
}
const words = (name) => name.replaceAll("_", " ");

function row(one) {
  const more = [["Before", spread(one.before)], ["After", spread(one.after)], ["Request", one.request], ["Digest", one.sha256]].filter(([, value]) => value);
  const role = [one.kind, one.role].filter((name) => name && name !== one.actor).map(words).join(", ");
  return el(
    "tr",
    {},
    el("td", { class: "number" }, number(one.sequence)),
    el("td", {}, el("time", { datetime: new Date(one.at_ms).toISOString() }, moment(one.at_ms))),
    el("th", { scope: "row" }, one.actor, role ? el("span", { class: "soft small" }, ` ${role}`) : null, one.by && one.by !== one.actor ? el("span", { class: "soft small" }, ` as ${one.by}`) : null),
    el("td", {}, words(one.what), one.subject ? el("span", { class: "soft" }, ` ${one.subject}`) : null),
    el("td", {}, one.why || "–"),
    el("td", {}, el("details", {}, el("summary", {}, "More"), el("dl", { class: "facts" }, more.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { class: "code" }, value)])))),
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
    body.append(...answer.found.entries.map(row));
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
  const heads = ["No.", "When", "Who", "What", "Why", "More"].map((name, index) => el("th", { scope: "col", class: index ? null : "number" }, name));
  const table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Audit entries" }, el("table", {}, el("caption", { class: "unseen" }, "Audit entries, the newest first"), el("thead", {}, el("tr", {}, heads)), body));
  add(sheet("Entries, the newest first", el("div", { class: "filter" }, find, count), table, el("div", {}, more)), el("p", { class: "soft" }, rich(`The chain ends at ${first.found.head}. \`tidewatt audit verify\` checks all of it.`)));
}
