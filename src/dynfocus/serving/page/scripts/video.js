// One video: its player, its questions, and the timeline that they share.

import * as api from "./api.js";
import { announce, alertUser, askInDialog, h, icon } from "./dom.js";
import { bytes, clock, sentence } from "./format.js";
import { Glance } from "./glance.js";
import { Player } from "./player.js";
import { Reading } from "./reading.js";
import { Talk } from "./talk.js";
import { Timeline } from "./timeline.js";

const MODEL_MS = 2000;

/** The view of a video. */
export class VideoView {
  constructor(address) {
    const [id, query] = address.split("?");
    this.id = id;
    this.asksAtOnce = query === "ask";
    this.stopping = new AbortController();
    this.element = h("div", { class: "video" });
  }

  async start() {
    this.video = await api.getVideo(this.id);
    document.title = `${this.video.name} · dynfocus`;
    this.facts = h("p", { class: "faint" });
    this.element.append(this.head());
    this.showFacts();
    if (this.video.state === "ready") await this.open();
    else await this.read();
  }

  head() {
    const title = h("h1", { tabindex: -1, title: this.video.name }, this.video.name);
    this.report = h("button", { type: "button", class: "plain", disabled: true, onclick: () => this.exportReport() }, icon("download"), h("span", { class: "wide" }, "Report"));
    this.report.setAttribute("aria-label", "Export the report");
    const remove = h("button", { type: "button", class: "plain", "aria-label": "Delete this video", onclick: () => this.remove() }, icon("trash"));
    const back = h("a", { class: "quiet back", href: "#/", "aria-label": "All videos" }, icon("back"), h("span", { class: "wide" }, "Videos"));
    return h("header", { class: "video-head" }, back, h("div", { class: "video-name" }, title, this.facts), this.report, remove);
  }

  showFacts() {
    const { duration, width, height, fps, num_bytes: size } = this.video;
    const facts = [
      duration && clock(duration),
      width && `${width} × ${height}`,
      size && bytes(size),
      fps && `${Number(fps.toFixed(2))} frames a second`,
    ];
    this.facts.textContent = facts.filter(Boolean).join("  ·  ");
  }

  async read() {
    const reading = new Reading(this.video, this.stopping.signal);
    this.element.append(reading.element);
    const ready = await reading.follow();
    if (!ready) return;
    reading.element.remove();
    this.video = ready;
    this.showFacts();
    announce(`${this.video.name} has been read. Ask about it.`);
    await this.open();
  }

  async open() {
    this.player = new Player(this.video);
    this.timeline = new Timeline(this.video, this.player);
    this.talk = new Talk(this.video, this.player);
    const glance = new Glance(this.video, this.player);
    this.talk.addEventListener("shown", () => this.show());
    const cautions = (this.video.warnings ?? []).map((text) => h("p", { class: "caution" }, icon("warning"), h("span", {}, sentence(text))));
    if (cautions.length) this.element.append(h("section", { class: "cautions", "aria-label": "What to know about this video" }, ...cautions));
    this.element.append(h("div", { class: "room" }, this.player.element, this.talk.element), this.timeline.element, glance.element);
    this.timeline.start();
    const [, suggestions] = await Promise.all([this.talk.load(), this.suggest(), glance.load()]);
    this.show();
    if (this.asksAtOnce) {
      history.replaceState(null, "", `#/videos/${encodeURIComponent(this.id)}`);
      if (suggestions.length && !this.talk.turns.length) this.talk.ask([{ question: suggestions[0].question }]);
    }
  }

  async suggest() {
    const [about, suggestions] = await Promise.all([this.awaitModel(), api.getSuggestions(this.id)]);
    this.talk.offer(about, suggestions);
    return suggestions;
  }

  /** Wait until the server has loaded its model. */
  async awaitModel() {
    for (;;) {
      const about = await api.about();
      this.talk.composer.block(about.problem && `No question can be answered yet: ${about.problem}.`);
      if (!about.problem || this.stopping.signal.aborted) return about;
      await new Promise((resolve) => setTimeout(resolve, MODEL_MS));
    }
  }

  show() {
    this.timeline.show(this.talk.shown);
    this.report.disabled = !this.talk.turns.some((turn) => turn.answer);
  }

  async exportReport() {
    this.report.disabled = true;
    try {
      await api.saveReport(this.id, this.video.name);
      announce("The report has been saved");
    } catch (error) {
      alertUser(error.message);
    }
    this.report.disabled = false;
  }

  async remove() {
    const words = h("p", { class: "faint" }, `${this.video.name} and its questions go from this server. The file that it came from stays.`);
    if ((await askInDialog("Delete this video?", words, "Delete")) === null) return;
    await api.deleteVideo(this.id);
    location.hash = "#/";
  }

  close() {
    this.stopping.abort();
    this.talk?.close();
    this.timeline?.close();
    this.player?.close();
  }
}
