// Charts by Chart.js in the page's colours, each with its figures in words for who can't see it.
import { el } from "./dom.js";
import { clock, day, NONE } from "./format.js";

let loaded = null;
// Loaded by the first page that draws; it puts itself under this name.
const library = () => (loaded ??= import("/static/lib/chart.js").then(() => globalThis.Chart));

const shade = (name) => {
  // A pair of colours is only one once an element has it.
  const probe = el("i", { hidden: true });
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};
const faded = (colour, share) => colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);

// Nothing that is shown goes back so far.
const MADE_UP_MS = 800 * 24 * 3600e3;

function scales(kind, unit, colours, stacked, span) {
  const grid = { color: colours.line, drawTicks: false };
  const ticks = { color: colours.soft, padding: 6, maxRotation: 0, autoSkipPadding: 16 };
  // Around a single moment the axis is made up, years wide: no date on it would mean anything.
  const format = (ms) => (span() > MADE_UP_MS ? "" : span() > 36 * 3600e3 ? day(ms).slice(5) : clock(ms).slice(0, span() > 600e3 ? 5 : 8));
  const x =
    kind === "time"
      ? { type: "linear", ticks: { ...ticks, callback: (ms) => format(ms), maxTicksLimit: 8 }, grid: { display: false } }
      : { type: "category", ticks, grid: { display: false } };
  const y = { beginAtZero: true, stacked, ticks: { ...ticks, maxTicksLimit: 5 }, grid, border: { display: false }, title: { display: Boolean(unit), text: unit, color: colours.soft } };
  return { x: { ...x, stacked, border: { color: colours.line } }, y };
}

// series: {name, colour, points: [{x, y}] | values, band?: of the one before, dashed?, bar?}
function dataset(one, colours) {
  const colour = colours[one.colour] ?? colours.tide;
  return {
    type: one.bar ? "bar" : "line",
    label: one.name,
    data: one.points,
    borderColor: one.band ? "transparent" : colour,
    backgroundColor: one.bar ? colour : faded(colour, one.band ? 0.18 : 0.1),
    fill: one.band ? "-1" : (one.fill ?? false),
    borderWidth: one.bar ? 0 : 1.75,
    borderDash: one.dashed ? [5, 4] : [],
    borderRadius: one.bar ? 2 : 0,
    maxBarThickness: 48,
    pointRadius: 0,
    pointHitRadius: 8,
    stepped: one.stepped ?? false,
    spanGaps: false,
    animation: false,
  };
}

function palette() {
  const names = ["ink", "soft", "line", "tide", "bad", "warn", "well", "sheet"];
  return Object.fromEntries(names.map((name) => [name, shade(name)]));
}

function plugins(colours, kind, unit, series) {
  const hidden = new Set(series.filter((one) => one.band || one.quiet).map((one) => one.name));
  return {
    legend: { display: series.length - hidden.size > 1, align: "start", labels: { color: colours.soft, boxWidth: 14, boxHeight: 2, filter: (item) => !hidden.has(item.text) } },
    tooltip: {
      backgroundColor: colours.sheet, titleColor: colours.ink, bodyColor: colours.ink, borderColor: colours.line, borderWidth: 1, displayColors: false,
      callbacks: {
        title: ([item]) => (kind === "time" ? `${day(item.parsed.x)} ${clock(item.parsed.x)} UTC` : item?.label),
        label: (item) => `${item.dataset.label}: ${item.parsed.y?.toLocaleString("en", { maximumSignificantDigits: 4 }) ?? NONE} ${unit}`,
      },
    },
  };
}

// One chart; `show(series, labels)` draws it anew. `sentence` tells in words what is seen.
export function chart(name, { kind = "time", unit = "", stacked = false } = {}) {
  const canvas = el("canvas", { role: "img", "aria-label": name });
  const element = el("div", { class: "chart" }, canvas);
  let drawn = null;
  let last = null;
  let closed = false;
  const span = () => (drawn ? drawn.scales.x.max - drawn.scales.x.min : 0);

  async function show(series, labels, sentence = "") {
    last = [series, labels, sentence];
    canvas.setAttribute("aria-label", sentence ? `${name}: ${sentence}` : name);
    const Chart = await library();
    if (closed || last[0] !== series) return;
    const colours = palette();
    const data = { labels, datasets: series.map((one) => dataset(one, colours)) };
    if (drawn && drawn.data.datasets.length === data.datasets.length && !drawn.old) {
      data.datasets.forEach((one, index) => Object.assign(drawn.data.datasets[index], one));
      drawn.data.labels = labels;
      return drawn.update("none");
    }
    drawn?.destroy();
    drawn = new Chart(canvas, {
      data,
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, parsing: kind === "time" ? false : undefined, normalized: true,
        interaction: { mode: "index", intersect: false },
        font: { family: getComputedStyle(document.body).fontFamily },
        scales: scales(kind, unit, colours, stacked, span),
        plugins: plugins(colours, kind, unit, series),
      },
    });
  }

  const themed = () => {
    if (drawn) drawn.old = true;
    if (last) show([...last[0]], last[1], last[2]);
  };
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", themed);
  addEventListener("themed", themed);
  function close() {
    closed = true;
    scheme.removeEventListener("change", themed);
    removeEventListener("themed", themed);
    drawn?.destroy();
  }
  return { element, show, close };
}
