// A video while it is read: real progress, then its storyboard.

import * as api from "./api.js";
import { announce, errorBox, h } from "./dom.js";
import { bytes, percent, plural } from "./format.js";
import { Glance } from "./glance.js";

const STAGES = { waiting: "Waiting for its turn", fetching: "Fetching the video", reading: "Finding its events", indexing: "Reading the video" };

/** Say what is being done before a question can be answered. */
export function describeStep({ stage, done, total }) {
  const words = STAGES[stage] ?? STAGES.indexing;
  return total > 0 ? `${words}, ${percent(done / total)}` : words;
}

const AGAIN_MS = 1500;

/** Shows how far reading is. */
export class Reading {
  constructor(video, signal) {
    this.video = video;
    this.signal = signal;
    this.said = 0;
    this.words = h("h2", {}, STAGES.waiting);
    this.share = h("p", { class: "faint" });
    this.bar = h("progress", { max: 1, "aria-label": "How much has been read" });
    this.box = h("section", { class: "reading", "aria-label": "Progress" }, this.words, this.share, this.bar);
    this.element = h("div", { class: "readings" }, this.box);
  }

  /** Follow it to its end; gives the video, or null where it failed. */
  async follow() {
    if (this.video.state === "failed") return this.fail(this.video.problem);
    while (!this.signal.aborted) {
      for await (const { event, data } of api.followReading(this.video.id, this.signal)) {
        if (event === "progress") this.advance(data);
        if (event === "ready") return data;
        if (event === "failed") return this.fail(data.problem);
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
    return null;
  }

  advance({ stage, done, total }) {
    this.words.textContent = STAGES[stage] ?? STAGES.indexing;
    if (stage !== this.stage) this.said = 0;
    this.stage = stage;
    if (total > 0) {
      const share = done / total;
      const of = stage === "fetching" ? `${bytes(done)} of ${bytes(total)}` : `${done.toLocaleString("en")} of ${plural(total, "frame")}`;
      this.bar.value = share;
      this.share.textContent = `${percent(share)}, ${of}`;
      const quarter = Math.floor(share * 4);
      if (quarter > this.said) announce(`${this.words.textContent}, ${percent(share)}`);
      this.said = Math.max(this.said, quarter);
    } else {
      this.bar.removeAttribute("value");
      this.share.textContent = "";
    }
    if (stage === "indexing") this.glimpse();
  }

  /** Show the storyboard as soon as there is one. */
  async glimpse() {
    if (this.glance) return;
    this.glance = new Glance(this.video, null);
    try {
      await this.glance.load();
      this.element.append(this.glance.element);
    } catch {
      this.glance = null; // There is none yet; the next step of progress asks again.
    }
  }

  fail(problem) {
    const back = h("a", { class: "plain", href: "#/" }, "Choose another video");
    this.box.replaceChildren(h("h2", {}, "This video could not be read"), errorBox({ message: problem ?? "The server does not say why." }), back);
    this.box.classList.add("is-failed");
    return null;
  }
}
