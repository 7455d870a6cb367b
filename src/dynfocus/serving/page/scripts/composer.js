// Where a question is written: its method, budget and excerpt, and a second one to compare.

import { h, icon } from "./dom.js";
import { readClock } from "./format.js";

const MOST_CHIPS = 12;

/** A question with what may differ between two that are compared. */
class Variant {
  constructor(name, placeholder) {
    const id = (part) => `${part}-${name}`;
    this.text = h("textarea", { id: id("question"), rows: 1, placeholder, "aria-label": name === "a" ? "Question" : "Second question" });
    this.method = h("select", { id: id("method") }, h("option", { value: "" }, "Model's own"));
    this.budget = h("input", { id: id("budget"), type: "number", min: 1, step: 1, inputmode: "numeric", placeholder: "Model's own" });
    this.fields = [
      h("div", { class: "field" }, h("label", { for: id("method") }, "Method"), this.method),
      h("div", { class: "field" }, h("label", { for: id("budget") }, "Video tokens, at most"), this.budget),
    ];
  }

  options() {
    const budget = Number.parseInt(this.budget.value, 10);
    return { ...(this.method.value && { method: this.method.value }), ...(budget > 0 && { max_video_tokens: budget }) };
  }
}

/** The form below the turns. */
export class Composer {
  constructor(onAsk, onStop) {
    this.onAsk = onAsk;
    this.onStop = onStop;
    this.a = new Variant("a", "Ask about this video");
    this.b = new Variant("b", "The same question, or another");
    this.build();
  }

  build() {
    this.chips = h("ul", { class: "chips", "aria-label": "Questions to try" });
    this.start = h("input", { id: "from", placeholder: "0:00", inputmode: "numeric" });
    this.end = h("input", { id: "to", placeholder: "the end", inputmode: "numeric" });
    this.follows = h("input", { type: "checkbox", id: "follows" });
    this.followsNote = h("label", { for: "follows" }, "Remember the questions before");
    const excerpt = [
      h("div", { class: "field" }, h("label", { for: "from" }, "From"), this.start),
      h("div", { class: "field" }, h("label", { for: "to" }, "To"), this.end),
      h("div", { class: "check" }, this.follows, this.followsNote),
    ];
    this.options = h("div", { class: "fields", id: "options", hidden: true }, ...this.a.fields, ...excerpt);
    this.second = h("div", { class: "second", hidden: true }, h("span", { class: "badge", dataset: { lane: "B" }, "aria-hidden": "true" }, "B"), this.b.text, h("div", { class: "fields" }, ...this.b.fields));
    this.optionsButton = h("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": "options", onclick: () => this.toggleOptions() }, icon("options"), "Options");
    this.compareButton = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.toggleCompare() }, icon("compare"), "Compare");
    this.send = h("button", { class: "primary send" }, "Ask");
    this.problem = h("p", { class: "problem", role: "alert" });
    this.form = h("form", { class: "composer", novalidate: true, onsubmit: (event) => this.submit(event) }, this.a.text, this.options, this.second, this.problem, h("div", { class: "composer-tools" }, this.optionsButton, this.compareButton, this.send));
    for (const { text } of [this.a, this.b]) text.addEventListener("keydown", (event) => this.sendOnEnter(event));
    this.element = h("div", { class: "composing" }, this.chips, this.form);
  }

  /** Say why nothing can be asked yet; null where something can. */
  block(problem) {
    this.send.disabled = problem !== null;
    this.problem.textContent = problem ?? "";
  }

  /** Offer what the model can do and what may be asked. */
  offer(about, suggestions) {
    for (const { method } of [this.a, this.b]) {
      method.replaceChildren(method.firstChild, ...about.methods.map((name) => h("option", { value: name }, name)));
    }
    this.follows.disabled = about.remembers_turns === false;
    if (this.follows.disabled) this.followsNote.textContent = "This model answers each question by itself";
    this.chips.replaceChildren(...suggestions.slice(0, MOST_CHIPS).map(({ question }) => h("li", {}, h("button", { type: "button", class: "chip", onclick: () => this.take(question) }, question))));
  }

  take(question) {
    this.a.text.value = question;
    this.form.requestSubmit();
  }

  toggleOptions(isOpen = this.options.hidden) {
    this.options.hidden = !isOpen;
    this.optionsButton.setAttribute("aria-expanded", String(isOpen));
    const set = [this.a.method, this.a.budget, this.start, this.end].filter((field) => field.value).length;
    this.optionsButton.lastChild.textContent = set && !isOpen ? `Options, ${set} set` : "Options";
  }

  toggleCompare() {
    const isOpen = this.second.hidden;
    this.second.hidden = !isOpen;
    this.compareButton.setAttribute("aria-pressed", String(isOpen));
    this.send.textContent = isOpen ? "Ask both" : "Ask";
    if (!isOpen) this.b.budget.value = this.b.method.value = "";
    if (isOpen) {
      this.toggleOptions(true);
      this.b.text.focus();
    }
  }

  sendOnEnter(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.form.requestSubmit();
  }

  submit(event) {
    event.preventDefault();
    if (this.isBusy) {
      this.onStop();
      return;
    }
    const question = this.a.text.value.trim();
    const excerpt = this.readExcerpt();
    const problem = question ? excerpt.problem : "Write a question first.";
    this.problem.textContent = problem ?? "";
    if (problem) {
      (question ? this.start : this.a.text).focus();
      return;
    }
    const shared = { ...excerpt.options, follows: this.follows.checked };
    const variants = [{ question, ...shared, ...this.a.options() }];
    if (!this.second.hidden) {
      variants.push({ question: this.b.text.value.trim() || question, ...shared, ...this.b.options() });
    }
    this.a.text.value = "";
    this.b.text.value = "";
    this.toggleOptions(false);
    if (!this.second.hidden) this.toggleCompare();
    this.onAsk(variants);
  }

  readExcerpt() {
    const [start, end] = [readClock(this.start.value), readClock(this.end.value)];
    if (Number.isNaN(start) || Number.isNaN(end)) {
      return { problem: "Write a time as 1:30, or in seconds." };
    }
    if (start !== null && end !== null && end <= start) return { problem: "The excerpt must end after it begins." };
    return { options: { ...(start !== null && { start }), ...(end !== null && { end }) } };
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    this.send.textContent = isBusy ? "Stop" : this.second.hidden ? "Ask" : "Ask both";
    this.form.classList.toggle("is-busy", isBusy);
  }

  focus() {
    this.a.text.focus();
  }
}
