/** The way of an order as five dots and a word, or what it rests for: made once, then written to where it changes. */

import { el, icon, mark, write } from "./dom.js";
import { STEPS, isOver, placeOf } from "./way.js";
import { noteOf, restOf } from "./wording.js";
import { words } from "./words.js";

const ENDS = { confirmed: "check", failed: "cross", cancelled: "ban", expired: "clock" };

export class Stepper {
  constructor() {
    this.word = el("span", { class: "word" });
    this.note = el("span", { class: "unit note" });
    this.signs = el("span", { class: "signs", "aria-hidden": "true" });
    this.element = el("div", {}, this.signs, this.word, this.note);
    this.kind = null;
  }

  /** Draw an order as it is now; `prices` are those of its market. */
  draw(order, prices, engine, asOf, now) {
    if (order.status === "open") this.drawRest(order, prices, engine, now);
    else this.drawSteps(order, engine, now);
    if (asOf && !isOver(order)) this.say(asOf);
  }

  drawRest(order, prices, engine, now) {
    const isSliced = order.type === "twap";
    this.become(isSliced ? "slices" : "rest", () => [isSliced ? el("meter", { min: 0, max: 1, value: 0 }) : icon("clock")]);
    if (isSliced) {
      const meter = this.signs.firstChild;
      mark(meter, "max", order.slices ?? 1);
      mark(meter, "value", order.slicesFilled ?? 0);
    }
    const { main, unit } = restOf(order, prices, engine, now);
    write(this.word, main);
    this.say(unit);
    mark(this.element, "data-status", "open");
  }

  drawSteps(order, engine, now) {
    this.become("progress", () => [el("ol", { class: "steps" }, ...STEPS.map(() => el("li")))]);
    const at = placeOf(order);
    const over = isOver(order);
    [...this.signs.firstChild.children].forEach((dot, place) => {
      const state = place < at ? "done" : place > at ? "ahead" : over ? "end" : "now";
      if (dot.dataset.state === state && dot.dataset.end === (state === "end" ? order.status : undefined)) return;
      dot.dataset.state = state;
      if (state === "end") dot.dataset.end = order.status;
      else delete dot.dataset.end;
      dot.replaceChildren(...(state === "end" ? [icon(ENDS[order.status])] : []));
    });
    mark(this.element, "data-status", order.status);
    write(this.word, words.status[order.status]);
    this.say(noteOf(order, engine, now));
  }

  /** Take another form: only when a resting order begins its way, or comes back. */
  become(kind, make) {
    if (this.kind === kind) return;
    this.kind = kind;
    this.element.className = kind === "progress" ? "progress" : "rest";
    this.signs.replaceChildren(...make());
  }

  say(text) {
    write(this.note, text);
    mark(this.note, "title", text || null);
  }
}
