/** Single letters that do something outside of fields, and the list of them. They can be switched off (WCAG 2.1.4). */

import { $, el } from "./dom.js";
import { keep, read } from "./storage.js";

const OFF = "letters-off";
const FIELDS = "input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]";

export class Keys {
  constructor() {
    this.acts = new Map();
    this.isOff = read(OFF) === true;
    this.dialog = $("#keys");
    const letters = $("#letters");
    letters.checked = !this.isOff;
    letters.addEventListener("change", () => keep(OFF, (this.isOff = !letters.checked)));
    $("#help").addEventListener("click", () => this.dialog.showModal());
    addEventListener("keydown", (event) => this.press(event));
    this.on("?", () => this.dialog.showModal());
  }

  /** Have `act(event)` run at this key. `says` stands in the list; `show` is how the key is written there. */
  on(key, act, says, show = key.length === 1 ? key.toUpperCase() : key) {
    this.acts.set(key, act);
    if (says) $("dl", this.dialog).append(el("div", {}, el("dt", {}, el("kbd", { text: show })), el("dd", { text: says })));
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const isLetter = event.key.length === 1;
    if (isLetter && (this.isOff || event.target.matches?.(FIELDS) || $("dialog[open]"))) return;
    const act = this.acts.get(isLetter ? event.key.toLowerCase() : event.key);
    if (!act || (event.key !== "Escape" && event.target.matches?.(FIELDS))) return;
    if (act(event) !== false && isLetter) event.preventDefault();
  }
}
