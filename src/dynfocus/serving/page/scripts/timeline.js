// The timeline: one or two answers over the same time, the film below, one playhead.

import * as api from "./api.js";
import { h } from "./dom.js";
import { clock, isFine, spoken, ticks } from "./format.js";
import { Lane, waitingPictures } from "./lane.js";
import { loadRow, paint } from "./pictures.js";
import { describeFrame } from "./turn.js";

const HEIGHTS = { 1: 176, 2: 116 };
const PEEK_MS = 110;
const FILM_WIDTH = 120;
const FILM_PIXELS = 200;

/** The timeline of a video; a click anywhere moves the player there. */
export class Timeline {
  constructor(video, player) {
    Object.assign(this, { video, player, lanes: [] });
    this.place = { start: 0, end: Math.max(video.duration, 1e-3) };
    this.build();
    this.listen();
  }

  build() {
    const legend = [["score", "Score of each moment"], ["cone", "Cones: read finely"], ["rod", "Rods: kept as a sketch"], ["evidence", "Where the answer is shown"]];
    this.legend = h("ul", { class: "legend" }, ...legend.map(([kind, words]) => h("li", { dataset: { kind } }, h("i", { class: kind }), words)));
    this.laneList = h("div", { class: "lanes" });
    this.film = h("canvas", { class: "film", "aria-hidden": "true" });
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.slider = h(
      "div",
      { class: "slider", role: "slider", tabindex: 0, "aria-label": "Time in the video", "aria-valuemin": 0, "aria-valuemax": this.place.end.toFixed(1), "aria-describedby": "keys" },
      this.film,
      h("i", { class: "playhead" }),
      h("i", { class: "hover" }),
    );
    this.peekImage = h("img", { alt: "" });
    this.peekWords = h("p", {});
    this.peek = h("div", { class: "peek", "aria-hidden": "true", hidden: true }, h("div", { class: "peek-picture" }, this.peekImage), this.peekWords);
    this.tracks = h("div", { class: "tracks" }, this.laneList, this.slider, this.axis, this.peek);
    this.pictures = h("div", { class: "cone-rows" });
    const keys = h("p", { id: "keys", class: "unseen" }, "Arrow keys move by one frame, Page Up and Page Down to the Cone before or after.");
    this.element = h("section", { class: "timeline", "aria-labelledby": "timeline" }, h("div", { class: "timeline-head" }, h("h2", { id: "timeline" }, "Timeline"), this.legend), this.tracks, keys, this.pictures);
  }

  listen() {
    this.player.addEventListener("time", ({ detail }) => this.mark(detail));
    this.tracks.addEventListener("pointermove", (event) => this.hover(event));
    this.tracks.addEventListener("pointerleave", () => this.leave());
    this.tracks.addEventListener("pointerdown", (event) => this.press(event));
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.tracks);
  }

  start() {
    this.mark(0);
    this.show([]);
  }

  /** Show one turn, or two on the same axis. */
  show(turns) {
    this.lanes = turns.map((turn, place) => new Lane(turn, turns.length > 1 ? "AB"[place] : "", this.video, this.player));
    const blank = h("div", { class: "lane is-blank" }, h("div", { class: "lane-head" }), h("div", { class: "lane-box" }, h("p", {}, "Ask a question to see which moments matter to it."), h("i", { class: "playhead" }), h("i", { class: "hover" })));
    this.laneList.replaceChildren(...(this.lanes.length ? this.lanes.map((lane) => lane.element) : [blank]));
    this.pictures.replaceChildren(...(this.lanes.length ? this.lanes.map((lane) => lane.pictures()) : [waitingPictures()]));
    this.legend.querySelector("[data-kind=evidence]").hidden = !turns.some((turn) => turn.truth?.evidence?.length);
    this.resize();
    this.mark(this.time ?? 0);
  }

  resize() {
    const width = Math.floor(this.slider.clientWidth);
    if (!width) return;
    const height = HEIGHTS[Math.max(1, this.lanes.length)];
    this.tracks.style.setProperty("--lane", `${height}px`);
    for (const lane of this.lanes) lane.draw({ ...this.place, width, height });
    if (width === this.width) return;
    this.width = width;
    this.drawFilm(width);
    this.drawAxis(width);
  }

  /** Show evenly spaced pictures of the video, which come in one row, each at its place. */
  drawFilm(width) {
    const count = Math.max(4, Math.min(16, Math.round(width / FILM_WIDTH)));
    if (count !== this.strip?.count) {
      const step = (this.place.end - this.place.start) / count;
      const times = Array.from({ length: count }, (_, place) => this.place.start + step * (place + 0.5));
      this.strip = { count, row: loadRow(this.video.id, times, FILM_PIXELS, () => this.paintFilm()) };
    }
    this.paintFilm();
  }

  paintFilm() {
    const { count, row } = this.strip;
    if (!row.naturalWidth) return;
    const scale = window.devicePixelRatio || 1;
    Object.assign(this.film, { width: this.film.clientWidth * scale, height: this.film.clientHeight * scale });
    const [from, to] = [row.naturalWidth / count, this.film.width / count];
    for (let place = 0; place < count; place += 1) {
      paint(this.film, { x: place * to, width: to }, row, { x: place * from, width: from, height: row.naturalHeight });
    }
  }

  drawAxis(width) {
    const { start, end } = this.place;
    const marks = ticks(start, end, Math.max(3, width / 90));
    const room = (70 / width) * (end - start);
    const shown = marks.filter((time) => time < end - room);
    this.axis.replaceChildren(...shown.map((time) => h("span", { style: { left: `${this.share(time)}%` } }, clock(time))), h("span", { class: "last" }, clock(end)));
  }

  share(time) {
    const { start, end } = this.place;
    return (100 * (Math.min(Math.max(time, start), end) - start)) / (end - start);
  }

  timeOf(event) {
    const box = this.slider.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    return this.place.start + share * (this.place.end - this.place.start);
  }

  isOnTrack(event) {
    return Boolean(event.target.closest(".lane-box, .slider, .axis"));
  }

  press(event) {
    if (event.button !== 0 || !this.isOnTrack(event)) return;
    this.player.seek(this.timeOf(event));
    const move = (next) => this.player.seek(this.timeOf(next));
    const stop = () => window.removeEventListener("pointermove", move);
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", stop, { once: true });
    window.addEventListener("pointercancel", stop, { once: true });
  }

  hover(event) {
    if (!this.isOnTrack(event) || event.pointerType === "touch") {
      this.leave();
      return;
    }
    const time = this.timeOf(event);
    this.tracks.style.setProperty("--hover", `${this.share(time)}%`);
    this.tracks.classList.add("is-hovered");
    this.peek.hidden = false;
    this.peekWords.replaceChildren(h("b", {}, clock(time, this.place.end < 600)), ...this.lines(time));
    clearTimeout(this.peekTimer);
    this.peekTimer = setTimeout(() => {
      const moment = this.lanes[0]?.frameAt(time)?.time ?? time;
      this.peekImage.src = api.pictureAddress(this.video.id, Math.min(moment, this.place.end - 0.05), 240);
    }, PEEK_MS);
  }

  leave() {
    clearTimeout(this.peekTimer);
    this.tracks.classList.remove("is-hovered");
    this.peek.hidden = true;
  }

  lines(time) {
    return this.lanes.map((lane) => {
      const frame = lane.frameAt(time);
      return frame && h("span", {}, `${lane.name ? `${lane.name}: ` : ""}${describeFrame(frame)}`);
    }).filter(Boolean);
  }

  mark(time) {
    this.time = time;
    this.tracks.style.setProperty("--now", `${this.share(time)}%`);
    this.slider.setAttribute("aria-valuenow", time.toFixed(1));
    const said = this.lines(time).map((line) => line.textContent);
    this.slider.setAttribute("aria-valuetext", [spoken(time), ...said].join(". "));
  }

  key(event) {
    const frames = this.lanes[0]?.frames ?? [];
    const step = frames.length > 1 ? (frames.at(-1).time - frames[0].time) / (frames.length - 1) : 1;
    const cones = this.lanes.flatMap((lane) => lane.frames.filter(isFine)).map((frame) => frame.time).sort((one, other) => one - other);
    const target = {
      ArrowLeft: this.time - step,
      ArrowDown: this.time - step,
      ArrowRight: this.time + step,
      ArrowUp: this.time + step,
      Home: this.place.start,
      End: this.place.end,
      PageUp: cones.findLast((time) => time < this.time - 0.05),
      PageDown: cones.find((time) => time > this.time + 0.05),
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.player.seek(target);
  }

  close() {
    this.sizes.disconnect();
    clearTimeout(this.peekTimer);
  }
}
