// Elements, icons, and what is said to screen readers.

import { sentence } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  add: "M9 3v12M3 9h12",
  back: "M11 4 6 9l5 5",
  close: "m4.5 4.5 9 9m0-9-9 9",
  compare: "M3 4.5h4.5v9H3zM10.5 4.5H15v9h-4.5z",
  download: "M9 3v8m-3.5-3L9 11.5 12.5 8M3.5 15h11",
  film: "M3 4h12v10H3zM6 4v10M12 4v10M3 9h3M12 9h3",
  options: "M3 5h6m4 0h2M3 13h2m4 0h6M11 3v4M7 11v4",
  play: "M6 4.5v9l7-4.5z",
  search: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3m3.7 8.7 3.3 3.3",
  send: "M9 15V4m-4.5 4L9 3.5 13.5 8",
  theme: "M9 3a6 6 0 1 0 0 12zM9 3a6 6 0 0 1 0 12",
  trash: "M3.5 5h11M7 5V3h4v2m2 0-.6 10H5.6L5 5",
  warning: "M9 3 2.5 14.5h13zM9 7.5V11m0 1.8v.1",
};

/** Make an element; `on…` are listeners, `dataset` and `style` objects, the rest attributes. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

/** Draw one of the icons; it is hidden from screen readers. */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 18 18", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** Tell a screen reader, without moving the focus. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

let toastTimer = 0;

/** Show a line for a few seconds, which screen readers say at once. */
export function alertUser(text) {
  const toast = document.getElementById("alert");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.hidden = true; }, 8000);
}

/** A box that says what went wrong, with a button to try again where that may help. */
export function errorBox(error, retry = null) {
  const again = retry && h("button", { type: "button", class: "plain", onclick: retry }, "Try again");
  return h("div", { class: "error", role: "alert" }, icon("warning"), h("div", {}, h("span", {}, sentence(error.message)), again));
}

/** Ask in a dialog; the promise gives the form's data, or null when it was closed. */
export function askInDialog(title, fields, action) {
  return new Promise((resolve) => {
    const cancel = h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Cancel");
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      fields,
      h("div", { class: "actions" }, cancel, h("button", { class: "primary", value: "yes" }, action)),
    );
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? new FormData(form) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
