/** The orders that this page knows: as the API shows them, kept up to date by the events of a stream. */

import { ask } from "./api.js";

const MOST = 2_000; // orders in memory; the oldest that have ended leave first

/** What an event of this status says of its order, in the words of `GET /api/orders/{id}`. */
const SAYS = {
  pending: ({ data }) => ({ restUntil: null, ...(data.retryInSeconds ? { fault: faultOf(data) } : {}) }),
  routing: ({ timestamp }, order) => ({ startedAt: order.startedAt ?? timestamp }),
  building: ({ data }) => ({
    decision: data,
    minAmountOut: data.minAmountOut ?? null,
    maxAmountIn: data.maxAmountIn ?? null,
  }),
  submitted: ({ txHash }) => ({ txHash }),
  confirmed: ({ executedPrice, txHash, data }) => ({
    executedPrice,
    txHash,
    executedAmountIn: data.amountIn ?? null,
    executedAmountOut: data.amountOut ?? null,
    children: data.children,
  }),
  failed: ({ error, data }) => ({ error, failureCode: data.failureCode ?? null, fault: faultOf(data) }),
  cancelled: ({ data }) => ({ reason: data.reason }),
  expired: ({ data }) => ({ reason: data.reason, fault: data.failureCode ? faultOf(data) : undefined }),
  open: ({ event, data }) => ({
    ...(event === "amended" ? data.after : {}),
    ...(event === "returned" ? { fault: faultOf(data), restUntil: data.restUntil ?? null } : {}),
    phase: PHASES[event],
    isTriggered: event === "triggered" || undefined,
  }),
};
const PHASES = { held: "held", resumed: "waiting", activated: "waiting", triggered: "limit" };
const faultOf = ({ failureCode, reason, dropped, decision }) => ({ code: failureCode, reason, dropped, decision });

export class Orders {
  /** `final` are the statuses that end an order. */
  constructor(final) {
    this.final = new Set(final);
    this.byId = new Map();
    this.told = new Set();
    this.loading = new Map();
  }

  isFinal(order) {
    return this.final.has(order.status);
  }

  get(id) {
    return this.byId.get(id);
  }

  /** Newest first: an id begins with the time at which it was made. */
  all() {
    return [...this.byId.values()].sort((one, other) => (one.orderId < other.orderId ? 1 : -1));
  }

  /** Have `tell(order, event, before)` called after each change. Returns a function that ends it. */
  subscribe(tell) {
    this.told.add(tell);
    return () => this.told.delete(tell);
  }

  /** Take an order as the API shows it; an older state than the one that is known changes nothing. */
  take(order) {
    const before = this.byId.get(order.orderId);
    if (before && before.seq > order.seq) return before;
    const events = before?.events ?? new Map();
    return this.put({ ...before, ...order, events, decision: before?.decision }, null, before);
  }

  /** Take an event of a stream. Some come twice; those that are missing in between are fetched. */
  apply(event) {
    const before = this.byId.get(event.orderId);
    if (before?.events.has(event.seq)) return;
    if (!before && event.seq > 1) return void this.load(event.orderId);
    const order = before ?? { orderId: event.orderId, attempts: 0, seq: 0, events: new Map() };
    order.events.set(event.seq, event);
    if (event.seq <= order.seq) return void this.tell(this.reread(order), null, before);
    const hasGap = before && event.seq > before.seq + 1;
    this.put(this.moved(order, event), event, before);
    if (hasGap) this.load(event.orderId);
  }

  drop(id) {
    const before = this.byId.get(id);
    if (before && this.byId.delete(id)) this.tell(null, null, before);
  }

  /** Fetch an order with all its events, once at a time. Resolves to it, or undefined if there is none for us. */
  load(id) {
    const loading = this.loading.get(id) ?? this.fetch(id).finally(() => this.loading.delete(id));
    this.loading.set(id, loading);
    return loading;
  }

  async fetch(id) {
    const [order, log] = await Promise.all([ask("GET", `/api/orders/${id}`), ask("GET", `/api/orders/${id}/events`)]);
    if (!order.ok || !log.ok) return this.get(id);
    for (const event of log.body.events) {
      if (this.get(id)) this.get(id).events.set(event.seq, event);
    }
    const known = this.take(order.body);
    for (const event of log.body.events) known.events.set(event.seq, event);
    this.put(this.reread(known), null, known);
    return this.get(id);
  }

  /** Return an order after an event, from what it was before. */
  moved(order, event) {
    const { status, seq, attempt, timestamp, data } = event;
    const said = SAYS[status]?.(event, order) ?? {};
    const first = data.order ? { ...data.order, createdAt: timestamp, route: null, executedPrice: null } : {};
    const next = { ...order, ...first, ...dropEmpty(said), status, seq, events: order.events, at: timestamp };
    next.attempts = Math.max(order.attempts ?? 0, attempt ?? 0);
    if (event.route && status !== "open") Object.assign(next, { route: event.route, routedDex: event.routedDex });
    if (status === "routing") next.decision = undefined;
    if (this.final.has(status)) next.finishedAt = timestamp;
    return next;
  }

  /** Return an order with what only its events tell, once they are all there. */
  reread(order) {
    const events = [...order.events.values()].sort((one, other) => one.seq - other.seq);
    const sorted = new Map(events.map((event) => [event.seq, event]));
    const decision = events.findLast(({ status }) => status === "building")?.data;
    return { ...order, events: sorted, decision: decision ?? order.decision, isWhole: sorted.size === order.seq };
  }

  put(order, event, before) {
    order.isWhole = order.events.size === order.seq;
    this.byId.set(order.orderId, order);
    if (this.byId.size > MOST) this.forgetOne();
    this.tell(order, event, before);
    return order;
  }

  forgetOne() {
    for (const [id, order] of this.byId) if (this.isFinal(order)) return this.drop(id);
  }

  tell(order, event, before) {
    if (order) this.byId.set(order.orderId, order);
    for (const tell of this.told) tell(order, event, before ?? null);
  }
}

const dropEmpty = (said) => Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
