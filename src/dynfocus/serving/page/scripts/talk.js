// The questions about a video and their answers, which stay on the server.

import * as api from "./api.js";
import { announce, h } from "./dom.js";
import { Composer } from "./composer.js";
import { describeStep } from "./reading.js";
import { TurnCard } from "./turn.js";

/** Holds the turns and which of them the timeline shows; "shown" tells of a change. */
export class Talk extends EventTarget {
  constructor(video, player) {
    super();
    this.video = video;
    this.player = player;
    this.turns = [];
    this.lanes = [];
    this.truths = new Map();
    this.list = h("ol", { class: "turns" });
    this.hint = h("p", { class: "hint faint" }, "Ask something. The timeline below will show which moments were looked at closely, and what the answer cost.");
    this.scroller = h("div", { class: "scroller" }, this.hint, this.list);
    this.composer = new Composer((variants) => this.ask(variants), () => this.stop());
    this.element = h("section", { class: "talk", "aria-label": "Questions and answers" }, this.scroller, this.composer.element);
  }

  /** The turns that the timeline shows: one, or two that are compared. */
  get shown() {
    return this.lanes;
  }

  async load() {
    const stored = await api.listQuestions(this.video.id);
    for (const one of stored) this.append({ question: one.question, options: one.options, answer: one, text: one.text });
    if (this.turns.length) this.select(this.turns.at(-1));
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  offer(about, suggestions) {
    this.truths = new Map(suggestions.filter((one) => one.truth).map((one) => [one.question, one]));
    this.composer.offer(about, suggestions);
    for (const turn of this.turns) this.refresh(turn);
  }

  /** Ask one question, or two that are compared, one after the other. */
  async ask(variants) {
    const before = this.turns.filter((turn) => turn.answer).map((turn) => ({ question: turn.question, answer: turn.answer.text }));
    const asked = variants.map(({ question, follows, ...options }) => this.append({ question, options, text: "", state: "asking", history: follows ? before : [] }));
    this.lanes = asked;
    this.tell();
    this.stopping = new AbortController();
    this.composer.setBusy(true);
    this.scroller.scrollTop = this.scroller.scrollHeight;
    for (const turn of asked) await this.answer(turn, this.stopping.signal);
    this.composer.setBusy(false);
  }

  async answer(turn, signal) {
    const body = { question: turn.question, history: turn.history, ...turn.options };
    try {
      turn.answer = await api.ask(this.video.id, body, {
        onText: (delta) => turn.card.add(delta),
        onStep: (step) => turn.card.say(describeStep(step)),
        signal,
      });
      turn.options = turn.answer.options;
      turn.text = turn.answer.text;
      announce(`Answer: ${turn.text || "no words"}`);
    } catch (error) {
      turn.error = error.name === "AbortError" ? { message: "Stopped." } : error;
    }
    turn.state = null;
    this.tell();
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  stop() {
    this.stopping?.abort();
  }

  append(turn) {
    this.turns.push(turn);
    turn.card = new TurnCard(turn, {
      jump: (time) => this.player.seek(time),
      select: () => this.select(turn),
      compare: () => this.compare(turn),
      again: () => this.again(turn),
      remove: () => this.remove(turn),
    });
    this.list.append(turn.card.element);
    this.hint.hidden = true;
    return turn;
  }

  select(turn) {
    this.lanes = [turn];
    this.tell();
  }

  compare(turn) {
    const isIn = this.lanes.includes(turn);
    const others = this.lanes.filter((one) => one !== turn);
    this.lanes = isIn ? (others.length ? others : [turn]) : [...others.slice(0, 1), turn];
    this.tell();
    announce(this.lanes.length > 1 ? "Two answers on the timeline" : "One answer on the timeline");
  }

  async again(turn) {
    Object.assign(turn, { error: null, text: "", state: "asking" });
    this.tell();
    this.stopping = new AbortController();
    this.composer.setBusy(true);
    await this.answer(turn, this.stopping.signal);
    this.composer.setBusy(false);
  }

  async remove(turn) {
    if (turn.answer) await api.deleteQuestion(this.video.id, turn.answer.asked);
    this.turns = this.turns.filter((one) => one !== turn);
    turn.card.element.remove();
    this.lanes = this.lanes.filter((one) => one !== turn);
    if (!this.lanes.length && this.turns.length) this.lanes = [this.turns.at(-1)];
    this.hint.hidden = this.turns.length > 0;
    this.composer.focus();
    announce("The question has been deleted");
    this.tell();
  }

  refresh(turn) {
    turn.truth = this.truths.get(turn.question) ?? null;
    turn.card.show(this.lanes);
  }

  tell() {
    for (const turn of this.turns) this.refresh(turn);
    this.dispatchEvent(new Event("shown"));
  }

  close() {
    this.stop();
  }
}
