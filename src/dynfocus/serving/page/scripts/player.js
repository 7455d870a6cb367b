// The player; a file that the browser cannot play is shown picture by picture.

import * as api from "./api.js";
import { h } from "./dom.js";
import { clock, spoken } from "./format.js";

const STILL_PIXELS = 960;

/** Plays a video; tells of its time with the event "time". */
export class Player extends EventTarget {
  constructor(video) {
    super();
    this.video = video;
    this.stillTime = 0;
    this.movie = h("video", {
      controls: true,
      playsinline: true,
      preload: "metadata",
      src: api.contentAddress(video.id),
      poster: api.pictureAddress(video.id, 0, Math.min(STILL_PIXELS, video.width)),
      "aria-label": video.name,
      ontimeupdate: () => this.tell(),
      onseeking: () => this.tell(),
      onplay: () => this.follow(),
      onerror: () => this.becomeStill(),
    });
    this.element = h("section", { class: "stage", "aria-label": "Player" }, this.movie);
  }

  get time() {
    return this.still ? this.stillTime : this.movie.currentTime;
  }

  /** Go to a moment, without the controls' own steps between. */
  seek(time) {
    const inside = Math.min(Math.max(0, time), Math.max(0, this.video.duration - 0.001));
    if (this.still) {
      this.stillTime = inside;
      this.showStill();
    } else {
      this.movie.currentTime = inside;
    }
    this.dispatchEvent(new CustomEvent("time", { detail: inside }));
  }

  tell() {
    this.dispatchEvent(new CustomEvent("time", { detail: this.time }));
  }

  follow() {
    const step = () => {
      this.tell();
      if (!this.movie.paused && this.movie.isConnected) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  becomeStill() {
    if (this.still) return;
    this.stillTime = this.movie.currentTime || 0;
    this.still = h("img", { class: "still" });
    const note = h("p", { class: "stage-note" }, "Your browser cannot play this file; you see the picture at the chosen moment.");
    this.element.replaceChildren(this.still, note);
    this.showStill();
  }

  showStill() {
    this.still.src = api.pictureAddress(this.video.id, this.stillTime, Math.min(STILL_PIXELS, this.video.width));
    this.still.alt = `The picture at ${spoken(this.stillTime)}`;
    this.still.title = clock(this.stillTime, true);
  }

  close() {
    this.movie.pause();
    this.movie.removeAttribute("src");
    this.movie.load();
  }
}
