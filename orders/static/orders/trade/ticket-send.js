/** Sends what the ticket says, each order under a key of its own, so that an answer that was lost never makes a second order. */

import { ask } from "./api.js";
import { keep, read } from "./storage.js";

const AGAIN = 1_000; // milliseconds until an order without an answer is sent once more, by itself
const PENDING = "ticket-pending";

/** Whether it is not known if the engine has the order, so that its key is to be kept. */
const isOpen = ({ isLost, status }) => isLost || status >= 500;

export class Sending {
  constructor() {
    /** What was sent without an answer: its words, and a key for each order. It survives a reload. */
    this.pending = read(PENDING, sessionStorage);
  }

  /** Whether this very ticket was sent, and some of it has no answer yet. */
  isPending(order) {
    return this.pending?.text === JSON.stringify(order);
  }

  /** Send an order so many times at once; resolve to the answers. What was sent before without an answer keeps its keys. */
  async send(order, count) {
    const keys = this.isPending(order) ? this.pending.keys : Array.from({ length: count }, newKey);
    this.hold(order, keys);
    let answers = await Promise.all(keys.map((key) => this.post(order, key)));
    if (answers.some(isOpen)) {
      await new Promise((go) => setTimeout(go, AGAIN));
      answers = await Promise.all(answers.map((answer, place) => (isOpen(answer) ? this.post(order, keys[place]) : answer)));
    }
    this.hold(order, keys.filter((_, place) => isOpen(answers[place])));
    return answers;
  }

  post(order, key) {
    return ask("POST", "/api/orders/execute", { body: order, key });
  }

  /** An edit makes another order of it, under another key. */
  forget() {
    if (this.pending) this.hold(null, []);
  }

  hold(order, keys) {
    this.pending = keys.length ? { text: JSON.stringify(order), keys } : null;
    keep(PENDING, this.pending, sessionStorage);
  }
}

/** `randomUUID` is only there on https and on this very machine. */
function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
