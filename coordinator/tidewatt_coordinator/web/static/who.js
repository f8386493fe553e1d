// Who is signed in, in the frame.
import { el } from "./dom.js";
import { session } from "./rest.js";

export async function who(element) {
  const { actor, login } = await session();
  if (!login) return; // this coordinator knows no access
  const here = encodeURIComponent(location.pathname + location.hash);
  const signed = actor && actor.kind !== "anonymous";
  const out = el("form", { method: "post", action: "/logout" }, el("button", { class: "quiet", type: "submit" }, "Sign out"));
  const into = el("a", { href: `/login?after=${here}` }, "Sign in");
  const name = signed ? el("span", { title: `role ${actor.role}` }, actor.name || actor.id) : null;
  element.replaceChildren(...[name, signed ? out : into].filter(Boolean));
}
