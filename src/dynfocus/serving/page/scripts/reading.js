// A video while it is read: real progress, then its storyboard.

import * as api from "./api.js";
import { announce, errorBox, h } from "./dom.js";
import { percent, plural } from "./format.js";
import { Glance } from "./glance.js";

const STAGES = { fetching: "Fetching the video", reading: "Reading the video", indexing: "Reading the video", storyboard: "Finding its events", waiting: "Waiting for its turn" };
const AGAIN_MS = 1500;

/** Shows how far reading is. */
export class Reading {
  constructor(video, signal) {
    this.video = video;
    this.signal = signal;
    this.said = 0;
    this.words = h("h2", {}, STAGES.reading);
    this.share = h("p", { class: "faint" }, "Waiting for its turn");
    this.bar = h("progress", { max: 1, "aria-label": "How much has been read" });
    this.box = h("section", { class: "reading", "aria-label": "Progress" }, this.words, this.share, this.bar);
    this.element = h("div", { class: "readings" }, this.box);
  }

  /** Follow it to its end; gives the video, or null where it failed. */
  async follow() {
    if (this.video.state === "failed") return this.fail(this.video.error);
    while (!this.signal.aborted) {
      for await (const { event, data } of api.followReading(this.video.id, this.signal)) {
        if (event === "progress") this.advance(data);
        if (event === "ready") return data.id ? data : api.getVideo(this.video.id);
        if (event === "failed") return this.fail(data.error);
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
    return null;
  }

  advance({ stage, done, total }) {
    this.words.textContent = STAGES[stage] ?? STAGES.reading;
    if (total > 0) {
      const share = done / total;
      this.bar.value = share;
      this.share.textContent = `${percent(share)}, ${done.toLocaleString("en")} of ${plural(total, "step")}`;
      const quarter = Math.floor(share * 4);
      if (quarter > this.said) announce(`${percent(share)} read`);
      this.said = Math.max(this.said, quarter);
    }
    if (stage !== "fetching" && stage !== "storyboard") this.glimpse();
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

  fail(error) {
    const message = error?.message ?? error ?? "The video could not be read.";
    const back = h("a", { class: "plain", href: "#/" }, "Choose another video");
    this.box.replaceChildren(h("h2", {}, "This video could not be read"), errorBox({ message }), back);
    this.box.classList.add("is-failed");
    return null;
  }
}
