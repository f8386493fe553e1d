// The REST API. What goes wrong is told in the server's own sentence, where it has one.

export class Trouble extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function answered(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Trouble(0, "the coordinator does not answer");
  }
  if (answer.status === 401 && !options?.method) return signIn();
  const text = await answer.text();
  const body = (answer.headers.get("content-type") ?? "").includes("json") && text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Trouble(answer.status, sentence(body) ?? `the coordinator answered ${answer.status}`);
  return body;
}

function sentence(body) {
  if (typeof body?.detail === "string") return body.detail;
  return Array.isArray(body?.detail) ? body.detail.map((one) => one.msg).join("; ") : body?.title;
}

// Whoever has to sign in comes back to the page that he was on.
function signIn() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.hash)}`);
  return new Promise(() => {});
}

export const get = (path) => answered(path);

// What is missing (a part that is off, or has nothing yet) is a state and no error: null and the sentence.
export async function look(path) {
  try {
    return { found: await get(path), why: "" };
  } catch (trouble) {
    if (!(trouble instanceof Trouble)) throw trouble;
    return { found: null, why: trouble.message, status: trouble.status };
  }
}

const cookie = (name) =>
  document.cookie.split("; ").find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);

// A change. The header can't be set by a page of another origin, and the token proves that we read our own cookie.
export function post(path, body, headers = {}) {
  const token = cookie("tidewatt_csrf") ?? cookie("__Host-tidewatt_csrf");
  const own = { "Content-Type": "application/json", "X-Tidewatt-Csrf": token ?? "1", "Idempotency-Key": crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
  return answered(path, { method: "POST", body: JSON.stringify(body), headers: { ...own, ...headers } });
}
