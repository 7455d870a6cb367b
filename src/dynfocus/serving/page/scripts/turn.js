// A question with its answer, what it cost, and what can be done with it.

import { errorBox, h, icon } from "./dom.js";
import { clock, isFine, kindName, percent, plural, sentence } from "./format.js";

/** The card of one turn. */
export class TurnCard {
  constructor(turn, actions) {
    this.turn = turn;
    this.actions = actions;
    this.badge = h("span", { class: "badge", hidden: true });
    this.ask = h("button", { type: "button", class: "turn-question", onclick: actions.select }, this.badge, h("span", {}, turn.question));
    this.answer = h("p", { class: "turn-answer" });
    this.meta = h("div", { class: "turn-meta" });
    this.notes = h("div", { class: "turn-notes" });
    this.compareButton = h("button", { type: "button", class: "quiet", onclick: actions.compare }, icon("compare"), "Compare");
    const remove = h("button", { type: "button", class: "quiet", "aria-label": `Delete the question ${turn.question}`, onclick: actions.remove }, icon("trash"));
    this.tools = h("div", { class: "turn-tools" }, this.compareButton, remove);
    this.element = h("li", { class: "turn" }, this.ask, this.answer, this.meta, this.notes, this.tools);
  }

  /** Show words that have arrived. */
  add(words) {
    if (!this.turn.text) this.say("Answering");
    this.turn.text += words;
    this.write(this.turn.text);
  }

  write(text) {
    this.answer.textContent = text;
  }

  /** Say what is being done before the first word. */
  say(words) {
    this.meta.replaceChildren(h("span", {}, words));
  }

  show(lanes) {
    const { turn } = this;
    const place = lanes.indexOf(turn);
    const isCompared = lanes.length > 1 && place >= 0;
    this.element.classList.toggle("is-shown", place >= 0);
    this.element.classList.toggle("has-failed", Boolean(turn.error));
    this.element.classList.toggle("is-asking", turn.state === "asking");
    this.element.setAttribute("aria-busy", String(turn.state === "asking"));
    this.ask.setAttribute("aria-pressed", String(place >= 0));
    this.compareButton.setAttribute("aria-pressed", String(isCompared));
    this.compareButton.disabled = !turn.answer || (lanes.length === 1 && place === 0);
    this.badge.hidden = !isCompared;
    this.badge.textContent = "AB"[place] ?? "";
    this.badge.dataset.lane = "AB"[place] ?? "";
    this.write(turn.answer && !turn.text ? "(no words)" : turn.text);
    this.meta.replaceChildren(...this.facts());
    this.notes.replaceChildren(...this.remarks());
  }

  facts() {
    const { answer, state } = this.turn;
    if (!answer) return [h("span", {}, state === "asking" ? "Looking at the video" : "")];
    const fine = answer.frames.filter(isFine).length;
    const kind = answer.frames.some((frame) => frame.kind === "high") ? "dense frame" : "Cone";
    const when = answer.best_time ?? null;
    return [
      when !== null && h("button", { type: "button", class: "jump", "aria-label": `${clock(when)}, the best moment. Go there`, onclick: () => this.actions.jump(when) }, icon("play"), clock(when)),
      h("span", {}, plural(answer.tokens, "token")),
      h("span", {}, plural(fine, kind)),
      h("span", {}, `${answer.seconds.toFixed(answer.seconds < 10 ? 2 : 0)} s`),
      answer.confidence !== null && answer.confidence !== undefined && h("span", { title: "Geometric mean of the probabilities of the answer's tokens; not calibrated" }, `${percent(answer.confidence)} sure`),
      ...this.optionFacts(),
    ].filter(Boolean);
  }

  optionFacts() {
    const { method, max_video_tokens: budget, start, end } = this.turn.options ?? {};
    return [
      method && h("span", { class: "tag" }, method),
      budget && h("span", { class: "tag" }, `budget ${budget.toLocaleString("en")}`),
      (start ?? null) !== null || (end ?? null) !== null ? h("span", { class: "tag" }, `${clock(start ?? 0)} to ${end ? clock(end) : "the end"}`) : null,
    ];
  }

  remarks() {
    const { answer, error, truth } = this.turn;
    if (error) return [errorBox(error, this.actions.again)];
    if (!answer) return [];
    const looked = answer.looks?.intervals?.map(([start, end]) => `${clock(start)} to ${clock(end)}`).join(", ");
    return [
      truth && h("p", { class: "truth" }, "The true answer: ", h("b", {}, truth.truth)),
      looked && h("p", { class: "faint" }, `Looked again at ${looked}.`),
      answer.looks?.note && h("p", { class: "faint" }, answer.looks.note),
      ...(answer.warnings ?? []).map((text) => h("p", { class: "caution" }, icon("warning"), h("span", {}, sentence(text)))),
    ].filter(Boolean);
  }
}

/** What a lane of the timeline says of a frame. */
export function describeFrame(frame) {
  return `${kindName(frame.kind)}, score ${frame.score.toFixed(2)}, ${plural(frame.tokens, "token")}`;
}
