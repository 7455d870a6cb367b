// Which view is shown: all videos, or one.

import * as api from "./api.js";
import { alertUser, errorBox, h } from "./dom.js";
import { Home } from "./home.js";
import { startTheme } from "./theme.js";
import { VideoView } from "./video.js";

const main = document.getElementById("main");
let view = null;
let isFirst = true;

async function show() {
  view?.close();
  const [, id] = /^#\/videos\/(.+)$/.exec(location.hash) ?? [];
  const next = id ? new VideoView(decodeURIComponent(id)) : new Home();
  view = next;
  main.replaceChildren(next.element);
  try {
    await next.start();
  } catch (error) {
    if (view !== next || error.name === "AbortError") return;
    const home = h("a", { class: "plain", href: "#/" }, "All videos");
    main.replaceChildren(h("div", { class: "missing" }, h("h1", { tabindex: -1 }, "This cannot be shown"), errorBox(error, show), home));
  }
  if (!isFirst && view === next) main.querySelector("h1")?.focus();
  isFirst = false;
}

async function nameModel() {
  try {
    const { model } = await api.about();
    document.getElementById("model").textContent = model;
  } catch {
    // The view that needs the server says that it is not there.
  }
}

startTheme(document.getElementById("theme"));
window.addEventListener("hashchange", show);
window.addEventListener("unhandledrejection", ({ reason }) => {
  if (reason?.name !== "AbortError") alertUser(reason?.message ?? "Something went wrong in this page.");
});
for (const kind of ["dragover", "drop"]) {
  window.addEventListener(kind, (event) => event.preventDefault());
}
nameModel();
show();
