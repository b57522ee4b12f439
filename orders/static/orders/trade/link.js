/** The line to the engine: one socket for all orders, with a heartbeat; it comes again by itself and misses nothing. */

import { keepIds, onOtherTab, ownIds } from "./storage.js";
import { signal } from "./signal.js";

const PING = 5_000; // milliseconds between two of our pings, while the page is looked at
const SILENCE = 10_000; // without a frame for so long, the line counts as dead
const FIRST_WAIT = 250; // before the second try, then doubled
const LONGEST_WAIT = 8_000;
const UNKNOWN_CURSOR = 4400;
const NOT_LOGGED_IN = 4401;
const DONE = 1000; // a socket that follows nothing is closed after a minute

export class Link {
  /** `orders` is the store; `account` is null without one: then the orders are those of this browser. */
  constructor(orders, account) {
    Object.assign(this, { orders, account, failures: 0, cursor: null, pinged: 0 });
    this.state = signal({ state: "reconnecting", since: null, asOf: null, retryAt: null, latency: null, isFirst: true });
    addEventListener("online", () => this.again());
    addEventListener("offline", () => this.lose());
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
    addEventListener("pageshow", ({ persisted }) => persisted && this.again());
    if (!account) onOtherTab((ids) => ids.forEach((id) => this.follow(id)));
    setInterval(() => this.beat(), 1_000);
    if (navigator.onLine === false) this.lose();
    else this.connect();
  }

  /** Follow an order that was sent from here, and remember it where no account does. */
  follow(id) {
    if (this.account) return;
    keepIds((ids) => (ids.includes(id) ? ids : [id, ...ids]));
    this.subscribe(id);
  }

  /** Try at once, whatever the line is doing. */
  again() {
    this.failures = 0;
    this.drop();
    this.connect();
  }

  /** After a sleep or in another tab the line may be dead without a word: ask it, and do not wait long. */
  look() {
    const isQuiet = Date.now() - (this.heardAt ?? 0) > SILENCE;
    if (!this.socket || isQuiet) return this.again();
    this.ping();
  }

  connect() {
    clearTimeout(this.timer);
    this.timer = null;
    if (navigator.onLine === false) return this.lose();
    const site = location.origin.replace(/^http/, "ws");
    const query = new URLSearchParams(this.cursor ? { cursor: this.cursor } : { snapshot: "open" });
    const socket = new WebSocket(`${site}${this.account ? `/ws/orders?${query}` : "/ws"}`);
    this.socket = socket;
    this.beganAt = Date.now();
    this.heardAt = null;
    socket.onopen = () => this.opened(socket);
    socket.onmessage = ({ data }) => socket === this.socket && this.heard(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.socket && this.closed(code);
  }

  opened(socket) {
    if (socket !== this.socket) return;
    this.ping();
    if (this.account) return;
    for (const id of ownIds()) {
      const order = this.orders.get(id);
      if (!order || !this.orders.isFinal(order)) this.subscribe(id);
    }
  }

  subscribe(orderId) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "subscribe", orderId }));
  }

  ping() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.pinged = performance.now();
    this.pingedAt = Date.now();
    this.socket.send('{"type":"ping"}');
  }

  heard(message) {
    this.heardAt = Date.now();
    const { type } = message;
    if (type === "error") return this.refused(message);
    this.failures = 0;
    const latency = type === "pong" && this.pinged ? performance.now() - this.pinged : this.state.value.latency;
    if (type === "pong") this.pinged = 0;
    this.tell({ state: "live", since: null, retryAt: null, latency, isFirst: false, asOf: this.heardAt });
    if (message.cursor) this.cursor = message.cursor;
    if (type === "snapshot") message.orders.forEach((order) => this.orders.take(order));
    if (type === "status_update") this.orders.apply(message);
  }

  refused({ error, orderId }) {
    if (error === "order_not_found" && !this.account && orderId) this.orders.drop(orderId);
    if (error === "cursor_unknown") this.cursor = null;
  }

  closed(code) {
    this.socket = null;
    if (code === UNKNOWN_CURSOR) this.cursor = null;
    if (code === NOT_LOGGED_IN) return this.tell({ state: "loggedOut", since: Date.now() });
    if (code === DONE && !this.account) return this.connect();
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.failures++) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.connect(), wait);
    this.tell({ state: "reconnecting", retryAt: Date.now() + wait });
  }

  /** The network is away: nothing is tried until it is back. */
  lose() {
    this.drop();
    this.tell({ state: "offline", retryAt: null });
  }

  drop() {
    clearTimeout(this.timer);
    const { socket } = this;
    this.socket = null;
    if (socket) socket.close();
  }

  /** Once a second: ping, and take a line that says nothing for dead. */
  beat() {
    const now = Date.now();
    if (!this.socket) return;
    if (now - (this.heardAt ?? this.beganAt) > SILENCE) {
      this.tell({ state: "reconnecting", retryAt: null });
      return this.again();
    }
    if (!document.hidden && now - (this.pingedAt ?? 0) >= PING) this.ping();
  }

  tell(change) {
    const before = this.state.value;
    const isLost = (change.state ?? before.state) !== "live";
    const since = isLost ? (before.since ?? Date.now()) : null;
    this.state.set({ ...before, ...change, since });
  }
}
