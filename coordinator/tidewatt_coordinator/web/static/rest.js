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
  location.assign(`/login?after=${encodeURIComponent(location.pathname + location.hash)}`);
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

// Who we are to the coordinator, and the token that a change has to bring along.
export const session = async () => (await look("/v1/session")).found ?? { actor: null, csrf: null };

function key() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
}

// A change. The same one sent twice is made once.
export async function post(path, body, headers = {}) {
  const { csrf } = await session();
  const own = { "Content-Type": "application/json", "Idempotency-Key": key(), ...(csrf ? { "X-CSRF-Token": csrf } : {}) };
  return answered(path, { method: "POST", body: JSON.stringify(body), headers: { ...own, ...headers } });
}

// A question that is too large for an address: nothing is changed, so nothing has to be proved.
export const ask = (path, body) => post(path, body);
