// Figures as people read them. What is not known is a dash, never zero.
export const NONE = "–";
const known = (value) => value !== null && value !== undefined && value !== "" && Number.isFinite(Number(value));
const counts = new Map();

export function number(value, digits = 0) {
  if (!known(value)) return NONE;
  if (!counts.has(digits))
    counts.set(digits, new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  return counts.get(digits).format(Number(value));
}

// Three digits that matter, whatever the size.
export function brief(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(Number(value));
  return number(value, size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(size))));
}

// A figure and its unit, the unit by its size: [text, unit].
const by = (value, steps) => {
  if (!known(value)) return [null, ""];
  const [limit, unit] = steps.find(([least]) => Math.abs(value) >= least) ?? steps.at(-1);
  return [brief(value / limit), unit];
};
export const watts = (value) => by(value, [[1e6, "MW"], [1e3, "kW"], [1, "W"]]);
export const wattHours = (value) => by(value, [[1e6, "MWh"], [1e3, "kWh"], [1, "Wh"]]);
export const rate = (value) => [known(value) ? (value >= 1e4 ? number(value) : brief(value)) : null, "req/s"];
export const amount = (value) => by(value, [[1e9, "bn"], [1e6, "m"], [1, ""]]);
export const joined = ([text, unit]) => (text === null ? NONE : `${text}\u00a0${unit}`);

// Money comes as a decimal string and is only rounded here: cents, or what matters of less than that.
export function money(value, currency = "") {
  if (!known(value)) return NONE;
  const size = Math.abs(Number(value));
  const text = size >= 0.1 || size === 0 ? number(value, 2) : brief(value);
  return currency ? `${text}\u00a0${currency}` : text;
}

export const percent = (share, digits = 1) => (known(share) ? `${number(share * 100, digits)}\u00a0%` : NONE);
export const signed = (share) => (known(share) ? `${share > 0 ? "+" : ""}${percent(share)}` : NONE);

export function span(seconds) {
  if (!known(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size < 90) return `${number(seconds)} s`;
  if (size < 5400) return `${number(seconds / 60)} min`;
  return size < 129600 ? `${number(seconds / 3600, 1)} h` : `${number(seconds / 86400, 1)} days`;
}

const two = (value) => String(value).padStart(2, "0");
export function clock(ms) {
  if (!known(ms)) return NONE;
  const at = new Date(ms);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
}
export const day = (ms) => (known(ms) ? new Date(ms).toISOString().slice(0, 10) : NONE);
export const moment = (ms) => (known(ms) ? `${day(ms)} ${clock(ms)} UTC` : NONE);
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
