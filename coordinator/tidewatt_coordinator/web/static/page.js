// Polls /v1/fleet once a second and shows it. What is not known is shown as a dash, never as zero.
const NONE = "–";
// More rows than this nobody reads, and a browser takes long to draw them every second.
const SHOWN = 500;
const POLICY_NAMES = { tidewatt: "Tidewatt", max_freq: "MaxFreq", vendor_default: "Vendor default", best_fixed: "Best fixed mode" };
const at = (id) => document.getElementById(id);

const number = (value, digits = 0) =>
  value === null || value === undefined ? NONE : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function quantity(id, value, unit, digits) {
  at(id).replaceChildren(number(value, digits), " ", element("small", unit));
}

function row(cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

function asleep(device) {
  if (device.asleep_until_ms === null) return device.status;
  return `${device.status} ${device.status === "overdue" ? "since" : "until"} ${new Date(device.asleep_until_ms).toISOString().slice(11, 16)} UTC`;
}

function savingCell(share) {
  const cell = element("td");
  if (share === null) return cell;
  const box = element("div", undefined, share < 0 ? "saving loss" : "saving");
  const bar = element("span", undefined, "bar");
  bar.style.width = `${Math.min(100, Math.abs(share) * 100)}%`;
  box.append(element("span", `${number(share * 100, 1)} %`), bar);
  cell.append(box);
  return cell;
}

function policyRow([name, policy], currency) {
  const title = element("th", POLICY_NAMES[name] ?? name);
  title.scope = "row";
  if (policy.point) title.append(" ", element("span", policy.point, "soft"));
  title.append(" ", element("span", policy.estimated ? "estimated" : "measured", "soft"));
  return row([
    title,
    element("td", `${number(policy.energy_wh, 1)} Wh`, "number"),
    element("td", `${Number(policy.cost).toFixed(4)} ${currency}`, "number"),
    element("td", `${number(policy.violating_minutes, 1)} min`, "number"),
    element("td", number(policy.switches), "number"),
    savingCell(policy.saving_share),
  ]);
}

function clock(skew) {
  const [unit, length] = [["days", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(([, one]) => Math.abs(skew) >= 2 * one);
  return `clock ${number(Math.abs(skew) / length)} ${unit} ${skew > 0 ? "ahead" : "behind"}`;
}

function deviceRow(device, speed) {
  const name = element("th", device.device);
  name.scope = "row";
  if (device.status !== "online") name.append(" ", element("span", asleep(device), "away"));
  if (Math.abs(device.skew_seconds ?? 0) >= 5 * speed) name.append(" ", element("span", clock(device.skew_seconds), "away"));
  if (device.control === "observe") name.append(" ", element("span", "observe", "note"));
  const mode = element("td");
  mode.append(device.point ? element("span", device.point, "mode") : NONE);
  return row([
    name,
    mode,
    element("td", `${number(device.watts, 2)} W`, "number"),
    element("td", `${number(device.requests_rps)} /s`, "number"),
    element("td", `${number(device.p95_ms, 1)} ms`, "number"),
    element("td", `${number(device.temperature_c, 1)} °C`, "number"),
    element("td", device.weight === null ? NONE : `${number(device.weight * 100, 1)} %`, "number"),
    element("td", device.refused ?? device.reason ?? NONE, "reason"),
  ]);
}

function show(fleet) {
  at("fleet").textContent = fleet.fleet;
  at("now").textContent = new Date(fleet.now_ms).toISOString().slice(0, 19).replace("T", " ") + " UTC";
  at("speed").textContent = fleet.speed === 1 ? "" : `simulated, ${number(fleet.speed)}x real time`;
  at("progress").hidden = fleet.progress === null;
  at("progress").value = fleet.progress ?? 0;
  quantity("watts", fleet.watts, "W", 1);
  quantity("rps", fleet.requests_rps, "/s", 0);
  quantity("energy", fleet.energy_joules / 3600, "Wh", 1);
  const others = Object.entries(fleet.costs).filter(([currency]) => currency !== fleet.currency);
  const also = others.map(([currency, cost]) => ` + ${Number(cost).toFixed(4)} ${currency}`).join("");
  at("cost").replaceChildren(Number(fleet.cost).toFixed(4), " ", element("small", fleet.currency + also));
  quantity("requests", fleet.requests, "", 0);
  quantity("violating", fleet.violating_minutes, "min", 1);
  at("policies").tBodies[0].replaceChildren(...Object.entries(fleet.policies).map((entry) => policyRow(entry, fleet.currency)));
  at("fit").textContent =
    fleet.model_error_share === null
      ? "Estimates begin when a device has reported."
      : `Estimates come from the operating-point model on the ledger's requests; on what really ran it is ${number(Math.abs(fleet.model_error_share) * 100, 1)} % ${fleet.model_error_share < 0 ? "below" : "above"} the measured energy.`;
  if (fleet.asleep_seconds > 0)
    at("fit").textContent += ` Of all that is saved, sleep saved ${number(fleet.sleep_saved_joules / 3600, 1)} Wh: ${number(fleet.asleep_seconds / 3600, 1)} h asleep at an estimated ${number(fleet.asleep_joules / 3600, 1)} Wh, which is in no total.`;
  at("online").textContent = `${fleet.online} of ${fleet.known} online` + (fleet.known > fleet.devices.length ? `, the first ${number(fleet.devices.length)} shown` : "");
  at("devices").tBodies[0].replaceChildren(...fleet.devices.map((device) => deviceRow(device, fleet.speed)));
  at("dispatch").textContent = fleet.dispatch_reason ? `Dispatch: ${fleet.dispatch_reason}.` : "";
}

async function poll() {
  const notice = at("connection");
  try {
    const answer = await fetch(`/v1/fleet?limit=${SHOWN}`);
    if (answer.status === 401) return location.assign("/login");
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    show(await answer.json());
    notice.hidden = true;
  } catch (error) {
    notice.textContent = `The coordinator doesn't answer (${error.message}); what is shown is old.`;
    notice.hidden = false;
  }
  setTimeout(poll, 1000);
}
poll();
