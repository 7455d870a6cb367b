// The storyboard: the events of a video, each a picture that leads to its moment.

import * as api from "./api.js";
import { h } from "./dom.js";
import { clock, percent } from "./format.js";
import { pictureRow } from "./pictures.js";

const PICTURE_PIXELS = 320;

/** Shows the event prototypes of a video. */
export class Glance {
  constructor(video, player) {
    this.video = video;
    this.player = player;
    this.list = h("ul", { class: "tiles" });
    this.element = h(
      "section",
      { class: "glance", "aria-labelledby": "glance" },
      h("h2", { id: "glance" }, "At a glance"),
      h("p", { class: "faint" }, "The events of the video, found without a question. Each picture stands for the share of time below it."),
      this.list,
    );
  }

  async load() {
    const board = await api.getStoryboard(this.video.id);
    const length = Math.max(1e-3, board.end - board.start);
    const canvases = pictureRow(this.video.id, board.prototypes.map((one) => one.time), PICTURE_PIXELS);
    this.list.replaceChildren(...board.prototypes.map((one, place) => h("li", {}, this.tile(one, length, canvases[place]))));
  }

  tile({ time, covered_seconds: covered }, length, image) {
    const share = percent(covered / length);
    const words = h("span", { class: "caption" }, h("b", {}, clock(time)), ` ${share}`);
    if (!this.player) return h("div", { class: "tile" }, image, words);
    const label = `${clock(time)} ${share} of the video. Go there`;
    return h("button", { type: "button", class: "tile", "aria-label": label, onclick: () => this.player.seek(time) }, image, words);
  }
}
