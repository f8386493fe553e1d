// The frame: which page is shown, the clock, the connection, the theme.
import { el } from "./dom.js";
import { clock, day } from "./format.js";
import { begin, watch } from "./live.js";
import { Trouble } from "./rest.js";
import { who } from "./who.js";

const PAGES = {
  fleet: ["Fleet", () => import("./pages/fleet.js")],
  device: ["Device", () => import("./pages/device.js")],
  cost: ["Cost", () => import("./pages/cost.js")],
  dispatch: ["Dispatch", () => import("./pages/dispatch.js")],
  rollouts: ["Rollouts", () => import("./pages/rollouts.js")],
  recommendations: ["Recommendations", () => import("./pages/recommendations.js")],
  audit: ["Audit", () => import("./pages/audit.js")],
};
const at = (id) => document.getElementById(id);
const main = at("main");
let leave = () => {};
let turn = 0;

// #/page/argument
function place() {
  const [, page = "", ...rest] = location.hash.split("/");
  return PAGES[page] ? [page, decoded(rest.join("/"))] : ["fleet", ""];
}

// As it was written, where that is no encoding: then there is no such thing, and the page says so.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function show({ first = false } = {}) {
  if (location.hash === "#main") return main.focus();
  const [page, argument] = place();
  const mine = (turn += 1);
  leave();
  leave = () => {};
  const [title, load] = PAGES[page];
  document.title = `${argument || title} · Tidewatt`;
  for (const link of at("pages").querySelectorAll("a"))
    if (link.hash === `#/${page === "device" ? "fleet" : page}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    } else link.removeAttribute("aria-current");
  const room = el("p", { class: "empty late" }, `${title} is loading …`);
  main.replaceChildren(room);
  window.scrollTo(0, 0);
  try {
    const { open } = await load();
    const parts = [];
    const left = await open(argument, (...more) => parts.push(...more));
    if (mine !== turn) return left?.();
    leave = left ?? (() => {});
    main.replaceChildren(...parts);
    if (!first) main.querySelector("h1")?.focus({ preventScroll: true });
  } catch (trouble) {
    if (mine === turn) main.replaceChildren(broken(title, trouble));
    if (!(trouble instanceof Trouble)) throw trouble;
  }
}

function broken(title, trouble) {
  const again = el("button", { type: "button", on: { click: () => show() } }, "Try again");
  return el("section", { class: "sheet" }, el("h1", { tabindex: "-1" }, title), el("p", { class: "note bad", role: "alert" }, `${trouble.message}.`), el("div", { class: "buttons" }, again));
}

const SAID = { live: "live", asking: "asking every 3 s", lost: "no connection: figures are old", connecting: "connecting" };

function frame({ totals, state }) {
  const shown = at("connection");
  if (shown.dataset.state !== state) {
    shown.dataset.state = state;
    shown.textContent = SAID[state];
  }
  if (!totals) return;
  at("fleet").textContent = totals.fleet;
  at("clock").textContent = `${day(totals.now_ms)} ${clock(totals.now_ms)} UTC`;
  at("clock").dateTime = new Date(totals.now_ms).toISOString();
  at("speed").textContent = totals.speed === 1 ? "" : `×${Math.round(totals.speed)}`;
}

const THEMES = ["system", "light", "dark"];
function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  at("theme").textContent = `Theme: ${name}`;
  dispatchEvent(new Event("themed"));
}
at("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(localStorage.getItem("theme") ?? "system") + 1) % THEMES.length];
  localStorage.setItem("theme", next);
  theme(next);
});

// What sticks below the frame must know how high it is.
new ResizeObserver(([entry]) => {
  document.documentElement.style.setProperty("--under", `${entry.target.offsetHeight}px`);
}).observe(document.querySelector(".top"));

theme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system");
watch(frame);
addEventListener("hashchange", () => show());
begin();
who(at("who"));
show({ first: true });
