// Where a video comes in: dropped, chosen, pasted, by its address, or the example.

import * as api from "./api.js";
import { announce, errorBox, h, icon } from "./dom.js";
import { bytes, percent } from "./format.js";

/** The panel that takes a video and goes to it. */
export class Adding {
  constructor() {
    this.stopping = new AbortController();
    this.depth = 0;
    this.build();
    this.listen();
  }

  build() {
    this.file = h("input", { type: "file", accept: "video/*,.mkv,.ts,.avi", class: "unseen", id: "file", onchange: () => this.send(this.file.files[0]) });
    const choose = h("label", { for: "file", class: "plain choose" }, icon("film"), "Choose a file");
    this.address = h("input", { type: "text", inputmode: "url", id: "address", name: "address", placeholder: "https://…/video.mp4", autocomplete: "off", spellcheck: "false" });
    this.add = h("button", { class: "primary" }, "Add");
    const form = h("form", { class: "address", onsubmit: (event) => this.addAddress(event) }, h("label", { for: "address", class: "unseen" }, "Address of a video"), this.address, this.add);
    this.form = form;
    this.news = h("div", { class: "news" });
    this.element = h(
      "section",
      { class: "drop", "aria-label": "Add a video" },
      h("div", { class: "drop-words" }, h("p", { class: "drop-lead" }, "Drop a video here"), h("p", { class: "faint" }, "or paste its address")),
      h("div", { class: "drop-ways" }, this.file, choose, h("span", { class: "or", "aria-hidden": "true" }, "or"), form),
      this.news,
    );
  }

  listen() {
    const { signal } = this.stopping;
    const on = (kind, listener) => window.addEventListener(kind, listener, { signal });
    on("dragenter", () => this.hover(1));
    on("dragleave", () => this.hover(-1));
    on("drop", (event) => {
      this.hover(-this.depth);
      this.take(event.dataTransfer);
    });
    on("paste", (event) => {
      if (event.target.closest?.("input, textarea")) return;
      this.take(event.clipboardData);
    });
  }

  hover(step) {
    this.depth += step;
    this.element.classList.toggle("is-over", this.depth > 0);
  }

  take(data) {
    const text = data.getData("text/plain").trim();
    if (data.files.length) this.send(data.files[0]);
    else if (text) {
      this.address.value = text;
      this.form.requestSubmit();
    }
  }

  async send(file) {
    if (!file) return;
    const bar = h("progress", { max: 1, "aria-label": `Sending ${file.name}` });
    const words = h("span", {}, `Sending ${file.name}`);
    const stop = h("button", { type: "button", class: "quiet", onclick: () => this.sending.abort() }, "Cancel");
    const share = h("span", { class: "faint" });
    this.news.replaceChildren(h("div", { class: "sending" }, h("p", {}, words, share, stop), bar));
    announce(`Sending ${file.name}, ${bytes(file.size)}`);
    this.sending = new AbortController();
    await this.work(() => api.upload(file, (done) => {
      bar.value = done;
      share.textContent = done < 1 ? `${percent(done)} of ${bytes(file.size)}` : "checking the file";
    }, this.sending.signal));
    this.file.value = "";
  }

  async addAddress(event) {
    event.preventDefault();
    const address = this.address.value.trim();
    if (!address) {
      this.address.focus();
      return;
    }
    this.add.disabled = true;
    this.news.replaceChildren(h("div", { class: "sending" }, h("p", {}, `Opening ${address}`), h("progress", { "aria-label": "Opening the address" })));
    await this.work(() => api.addAddress(address));
    this.add.disabled = false;
  }

  /** Make the example; the page goes to it and asks its first question. */
  async addExample(button) {
    button.disabled = true;
    const words = button.lastChild;
    const text = words.textContent;
    words.textContent = "Making the video";
    announce("Making the example video");
    await this.work(api.addExample, "?ask");
    words.textContent = text;
    button.disabled = false;
  }

  async work(action, query = "") {
    try {
      const video = await action();
      this.news.replaceChildren();
      location.hash = `#/videos/${encodeURIComponent(video.id)}${query}`;
    } catch (error) {
      this.news.replaceChildren(error.name === "AbortError" ? "" : errorBox(error));
    }
  }

  close() {
    this.stopping.abort();
    this.sending?.abort();
  }
}
