/** Asks what the ticket's order would do: soon after each edit, then once a second while the page is looked at. */

import { ask } from "./api.js";

const SOON = 150; // milliseconds after the last edit
const REPEAT = 1_000; // or when the answer is over, if that is later
const PATIENCE = 5_000;
const AFTER_FAULT = 2_000;
const ANY_IMPACT = 10_000; // bps: to show what an order would do that its limit does not allow

export class Preview {
  /** `tell({order, answer, offer, problem, at})` is called with each answer; `offer` is what it would get if it were sent now. */
  constructor(tell) {
    Object.assign(this, { tell, order: null, offered: null, asking: null, timer: null });
    document.addEventListener("visibilitychange", () => !document.hidden && this.order && this.soon(0));
    addEventListener("online", () => this.order && this.soon(0));
  }

  /** Ask about this order from now on; null: about none. `offered` is the same as a market order, if it rests. */
  want(order, offered) {
    this.stop();
    Object.assign(this, { order, offered });
    if (order) this.soon(SOON);
  }

  /** Ask at once, and resolve when the answer was told. */
  now() {
    this.stop();
    return this.order ? this.ask() : Promise.resolve();
  }

  stop() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.asking = null;
  }

  soon(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), wait);
  }

  async ask() {
    const asking = new AbortController();
    this.asking?.abort();
    this.asking = asking;
    const { order, offered } = this;
    const [asked, offer] = await Promise.all([this.of(order, asking), offered ? this.of(offered, asking) : null]);
    if (this.asking !== asking) return; // another one took its place
    this.asking = null;
    if (asked.isLost && !asked.isAborted) {
      this.later(AFTER_FAULT);
      return;
    }
    const shown = offer ?? asked;
    this.tell({
      order,
      at: Date.now(),
      answer: asked.ok ? asked.body : null,
      problem: asked.ok ? null : asked,
      offer: shown.ok && (shown.body.quote || shown.body.failureCode) ? shown.body : null,
      isBeyond: Boolean(shown.isBeyond),
    });
    this.later(asked.status === 429 ? (asked.retryAfter ?? 1) * 1000 : Math.max(REPEAT, shown.body.expiresInMs ?? 0));
  }

  /** Ask once; if the order would move the price further than the engine lets it, ask what it would do all the same. */
  async of(order, { signal }) {
    const asked = await ask("POST", "/api/orders/preview", { body: order, signal, patience: PATIENCE });
    const isTooFar = asked.ok && asked.body.failureCode === "price_impact_too_high";
    if (!isTooFar || order.maxPriceImpactBps !== undefined) return asked;
    const beyond = { ...order, maxPriceImpactBps: String(ANY_IMPACT) };
    const again = await ask("POST", "/api/orders/preview", { body: beyond, signal, patience: PATIENCE });
    return again.ok && again.body.quote ? { ...again, isBeyond: true } : asked;
  }

  later(wait) {
    if (document.hidden || !this.order) return;
    this.soon(wait);
  }
}
