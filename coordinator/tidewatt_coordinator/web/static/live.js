// The fleet as it stands, kept up to date by server-sent events, and by asking where these don't get through.

import { get } from "./rest.js";

const ASK_EVERY_MS = 3000;
const EVENTS_AGAIN_MS = 60000;
// Real milliseconds without anything after which the figures are called old.
const OLD_MS = 20000;

// rows: by name, objects with the columns' names. Each row is replaced when it changes, so that === tells.
export const fleet = { rows: new Map(), totals: null, policies: {}, state: "connecting", changed: 0 };
const heard = new Set();
let seen = "";
let source = null;
let heardAt = 0;
let asking = false;

// Calls back after each change, until the returned function is called.
export function watch(callback) {
  heard.add(callback);
  if (fleet.totals) callback(fleet);
  return () => heard.delete(callback);
}

function take(delta) {
  const { columns } = delta;
  if (delta.whole) fleet.rows.clear();
  for (const row of delta.rows) {
    const made = {};
    for (let index = 0; index < columns.length; index += 1) made[columns[index]] = row[index];
    fleet.rows.set(made.device, made);
  }
  fleet.totals = delta.totals;
  fleet.policies = delta.policies;
  fleet.changed += delta.rows.length;
  seen = delta.id;
  heardAt = Date.now();
}

function tell(state) {
  fleet.state = state;
  for (const callback of heard) callback(fleet);
}

function listen() {
  source = new EventSource(`/v1/stream${seen ? `?since=${encodeURIComponent(seen)}` : ""}`);
  source.addEventListener("fleet", (event) => {
    take(JSON.parse(event.data));
    tell("live");
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) {
      if (Date.now() - heardAt > OLD_MS) tell("lost");
      return; // it comes back by itself
    }
    source = null;
    setTimeout(listen, EVENTS_AGAIN_MS);
    askOn();
  });
}

// One round of questions at a time, however often the events are tried in vain.
function askOn() {
  if (asking) return;
  asking = true;
  ask();
}

async function ask() {
  if (source?.readyState === EventSource.OPEN) {
    asking = false;
    return;
  }
  try {
    take(await get(`/v1/stream/poll?since=${encodeURIComponent(seen)}`));
    tell("asking");
  } catch {
    tell("lost");
  }
  setTimeout(ask, ASK_EVERY_MS);
}

export const begin = () => listen();
