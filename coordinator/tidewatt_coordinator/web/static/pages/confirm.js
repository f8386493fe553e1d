// Asks before something is changed: a native dialog, so that the keyboard and screen readers are right.
import { el, note } from "../dom.js";

// `work(values)` does it and may fail; resolves to whether it was done. checks: [name, text, must]
export function confirm({ title, sentences, action, checks = [], work }) {
  const trouble = el("div", { role: "alert" });
  const go = el("button", { type: "submit", class: "main" }, action);
  const cancel = el("button", { type: "button" }, "Cancel");
  const boxes = checks.map(([name, text, must]) => [name, el("input", { type: "checkbox", required: must }), text]);
  const heading = el("h2", { id: "asked" }, title);
  const form = el("form", { method: "dialog" }, heading, sentences.map((one) => el("p", {}, one)), boxes.map(([, box, text]) => el("label", { class: "check" }, box, text)), trouble, el("div", { class: "buttons" }, go, cancel));
  const dialog = el("dialog", { "aria-labelledby": "asked" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let done = false;
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    cancel.addEventListener("click", () => dialog.close());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      try {
        await work(Object.fromEntries(boxes.map(([name, box]) => [name, box.checked])));
        done = true;
        dialog.close();
      } catch (error) {
        trouble.replaceChildren(note(`${error.message}.`, "bad"));
        go.disabled = false;
      }
    });
    dialog.showModal();
  });
}
