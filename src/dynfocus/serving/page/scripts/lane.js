// One answer on the timeline: its words, its tokens, its drawing, the pictures of its Cones.

import { drawChart } from "./chart.js";
import { h } from "./dom.js";
import { clock, isFine, kindName, percent, plural } from "./format.js";
import { pictureRow } from "./pictures.js";

const MOST_CONES = 24;
const PICTURE_PIXELS = 240;

/** A lane of the timeline. */
export class Lane {
  constructor(turn, name, video, player) {
    Object.assign(this, { turn, name, video, player });
    this.canvas = h("div", { class: "lane-chart" });
    const nothing = !turn.answer && turn.state !== "asking" && h("p", {}, "There is no answer to show.");
    this.chart = h("div", { class: "lane-box" }, this.canvas, nothing, h("i", { class: "playhead" }), h("i", { class: "hover" }));
    const badge = name && h("span", { class: "badge", dataset: { lane: name } }, name);
    const words = h("p", { class: "lane-words" }, badge, h("b", {}, turn.question), h("span", { class: "lane-answer" }, turn.text));
    this.element = h("div", { class: `lane${turn.state === "asking" ? " is-waiting" : ""}` }, h("div", { class: "lane-head" }, words, this.meter()), this.chart);
  }

  get frames() {
    return this.turn.answer?.frames ?? [];
  }

  get fine() {
    return this.frames.filter(isFine);
  }

  draw(place) {
    this.canvas.replaceChildren(this.turn.answer ? drawChart(this.turn.answer, place, this.turn.truth?.evidence) : "");
  }

  /** Show the tokens beside those that Cones for every frame would have taken. */
  meter() {
    const { answer } = this.turn;
    if (!answer) return h("div", { class: "meter" });
    const sum = (frames) => frames.reduce((total, frame) => total + frame.tokens, 0);
    const byFine = sum(this.fine);
    const most = this.frames.length * Math.max(0, ...this.fine.map((frame) => frame.tokens));
    const hasTwoLooks = this.frames.some((frame) => frame.kind === "high" || frame.kind === "low");
    const share = most && !hasTwoLooks ? answer.tokens / most : 0;
    const words = share ? `, ${percent(share)} of Cones throughout` : "";
    const scale = share ? most : answer.tokens || 1;
    const part = (kind, tokens) => h("i", { class: kind, style: { width: `${((100 * tokens) / scale).toFixed(2)}%` } });
    const rest = answer.tokens - byFine;
    return h(
      "div",
      { class: "meter", title: `${plural(byFine, "token")} for ${this.fine.length} ${kindName(this.fine[0]?.kind ?? "cone")}s, ${plural(rest, "token")} for the rest` },
      h("p", {}, h("b", {}, answer.tokens.toLocaleString("en")), ` video tokens${words}`),
      h("div", { class: "meter-bar", "aria-hidden": "true" }, part("cone", byFine), part("rod", rest)),
    );
  }

  /** Find the frame that is shown at a moment. */
  frameAt(time) {
    const { frames } = this;
    let [low, high] = [0, frames.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (frames[middle].time <= time + 1e-6) low = middle;
      else high = middle - 1;
    }
    return frames[low] ?? null;
  }

  /** The pictures of the Cones of the highest scores, in order of time. */
  pictures() {
    if (!this.turn.answer) return waitingPictures(this.name);
    const best = [...this.fine].sort((one, other) => other.score - one.score).slice(0, MOST_CONES);
    best.sort((one, other) => one.time - other.time);
    const badge = this.name && h("span", { class: "badge", dataset: { lane: this.name } }, this.name);
    const more = this.fine.length > best.length ? ` (the best ${best.length} of ${this.fine.length})` : "";
    const noun = this.fine[0]?.kind === "high" ? "Dense frames" : "Cones";
    const canvases = pictureRow(this.video.id, best.map((frame) => frame.time), PICTURE_PIXELS);
    const words = best.length ? `${noun}${more}` : "No frame was read finely";
    return h(
      "div",
      { class: "cone-row" },
      h("h3", {}, badge, words),
      h("ul", { class: "cone-list", "aria-label": this.name ? `${noun} of ${this.name}` : noun }, ...best.map((frame, place) => h("li", {}, this.picture(frame, canvases[place])))),
    );
  }

  picture(frame, image) {
    const isShown = (this.turn.truth?.evidence ?? []).some(([start, end]) => start <= frame.time && frame.time < end);
    return h(
      "button",
      { type: "button", class: `cone-picture${isShown ? " is-hit" : ""}`, "aria-label": `${clock(frame.time)} ${frame.score.toFixed(2)}, ${kindName(frame.kind)}${isShown ? " that shows the answer" : ""}. Go there`, onclick: () => this.player.seek(frame.time) },
      image,
      h("span", { class: "caption" }, h("b", {}, clock(frame.time)), ` ${frame.score.toFixed(2)}`),
    );
  }
}

/** Hold the place of the pictures of an answer that is still to come. */
export function waitingPictures(name = "") {
  const badge = name && h("span", { class: "badge", dataset: { lane: name } }, name);
  const places = Array.from({ length: 4 }, () => h("i", {}));
  return h("div", { class: "cone-row is-waiting", "aria-hidden": "true" }, h("h3", {}, badge, "Cones"), h("div", { class: "cone-list" }, ...places));
}
