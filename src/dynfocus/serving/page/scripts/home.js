// All videos: add one, find one, or look at the example.

import { Adding } from "./adding.js";
import * as api from "./api.js";
import { announce, h, icon } from "./dom.js";
import { clock, plural, spoken } from "./format.js";

const REFRESH_SECONDS = 3;

/** The first view. */
export class Home {
  constructor() {
    this.adding = new Adding();
    this.videos = [];
    this.search = h("input", { type: "search", id: "search", placeholder: "Search", autocomplete: "off", oninput: () => this.showFound(true) });
    this.count = h("p", { class: "faint" });
    this.grid = h("ul", { class: "grid" });
    const field = h("div", { class: "search" }, icon("search"), h("label", { for: "search", class: "unseen" }, "Search the videos by name"), this.search);
    this.library = h("section", { class: "library", hidden: true, "aria-labelledby": "videos" }, h("div", { class: "library-head" }, h("h2", { id: "videos" }, "Videos"), this.count, field), this.grid);
    this.rest = h("div", { class: "rest" });
    this.element = h(
      "div",
      { class: "home" },
      h("div", { class: "hero" }, h("h1", { tabindex: -1 }, "Ask a video."), h("p", { class: "lead" }, "Moments that carry the answer are read finely, all others as a sketch. You see which, and what it cost.")),
      this.adding.element,
      this.rest,
      this.library,
    );
    document.title = "dynfocus";
  }

  async start() {
    await this.load();
  }

  async load() {
    this.videos = await api.listVideos();
    this.library.hidden = !this.videos.length;
    if (this.videos.length) this.rest.replaceChildren();
    else if (!this.rest.firstChild) this.rest.replaceChildren(this.empty());
    this.showFound();
    if (this.videos.some((video) => isUnderWay(video))) {
      this.timer = setTimeout(() => this.load().catch(() => {}), 1000 * REFRESH_SECONDS);
    }
  }

  empty() {
    const open = h("button", { type: "button", class: "primary", onclick: () => this.adding.addExample(open) }, icon("play"), h("span", {}, "Show me an example"));
    return h(
      "section",
      { class: "empty", "aria-labelledby": "empty" },
      h("div", { class: "motif", "aria-hidden": "true" }, ...motif()),
      h("div", {}, h("h2", { id: "empty" }, "No videos yet"), h("p", { class: "faint" }, "See it work on a minute of FocusWorld, drawn on this machine. Nothing is downloaded.")),
      open,
    );
  }

  showFound(isAsked = false) {
    const wanted = this.search.value.trim().toLowerCase();
    const found = this.videos.filter((video) => video.name.toLowerCase().includes(wanted));
    this.count.textContent = wanted ? `${found.length} of ${this.videos.length}` : String(this.videos.length);
    this.grid.replaceChildren(...found.map(card));
    if (!found.length && wanted) this.grid.append(h("li", { class: "faint nothing" }, `No video has “${this.search.value.trim()}” in its name.`));
    if (isAsked) announce(`${plural(found.length, "video")} found`);
  }

  close() {
    clearTimeout(this.timer);
    this.adding.close();
  }
}

function card(video) {
  const state = isUnderWay(video) ? "Being read" : video.state === "failed" ? "Could not be read" : null;
  const added = new Date(1000 * video.created).toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric" });
  const picture = h("div", { class: "poster" });
  if (video.state !== "failed" && video.duration) {
    const image = h("img", { src: api.pictureAddress(video.id, video.duration / 2, 320), alt: "", loading: "lazy", onerror: () => image.remove() });
    picture.append(image, h("span", { class: "length", "aria-hidden": "true" }, clock(video.duration)));
  }
  const length = video.duration ? h("span", { class: "unseen" }, `, ${spoken(video.duration)}`) : null;
  const facts = h("p", { class: "faint" }, state ?? (video.num_questions ? plural(video.num_questions, "question") : `Added on ${added}`), length);
  return h("li", {}, h("a", { class: `card is-${video.state}`, href: `#/videos/${encodeURIComponent(video.id)}` }, picture, h("div", { class: "card-words" }, h("h3", {}, video.name), facts)));
}

function isUnderWay(video) {
  return video.state === "new" || video.state === "working";
}

/** A few Cones among Rods, as the timeline draws them. */
function motif() {
  const heights = [3, 3, 4, 9, 13, 8, 4, 3, 3, 3, 5, 12, 15, 11, 5, 3, 3, 4, 3, 3, 3, 7, 10, 6, 3, 3];
  return heights.map((height) => h("i", { class: height > 8 ? "tall" : "", style: { height: `${height * 4}px` } }));
}
