/** Which orders the blotter shows: those that the line tells of, and pages of older ones that are fetched. */

import { ask } from "./api.js";
import { Filter } from "./filter.js";
import { isOver } from "./way.js";

const PAGE = 50;
const MOST_PAGES = 5; // that one press looks through, where the engine cannot filter by itself
const RECENT = 3_600_000; // milliseconds for which what ended stands below what is open
const MOST_RECENT = 20;

export const VIEWS = {
  open: { query: { state: "closed", limit: MOST_RECENT }, has: (order) => !isOver(order) },
  history: { query: { state: "closed" }, has: isOver },
  fills: { query: { status: "confirmed" }, has: ({ status }) => status === "confirmed" },
  all: { query: {}, has: () => true },
};

export class Listing {
  /** `tell` is called when a page has come. Without an account only what this browser knows is shown. */
  constructor(desk, tell) {
    Object.assign(this, { desk, tell, unfolded: new Set(), isLoading: false, hasFailed: false });
    this.choose("open", "");
  }

  /** Show another view, or another filter, from its beginning. */
  choose(name, text) {
    this.name = name;
    this.filter = new Filter(text, this.desk.page);
    this.stays = new Set(); // they ended while they stood here, and keep their places
    this.most = PAGE;
    this.edge = null; // the oldest order of the pages that were fetched; "" if there is none older
    this.next = undefined;
    this.asked?.abort();
    this.load();
  }

  get view() {
    return VIEWS[this.name];
  }

  get hasMore() {
    return this.isCut || (Boolean(this.next) && this.name !== "open");
  }

  more() {
    this.most += PAGE;
    if (!this.isCut && this.next && this.name !== "open") return this.load();
    this.tell();
  }

  /** What ended goes where it belongs: only while nobody points at the rows. */
  settle() {
    this.stays.clear();
  }

  ended(order) {
    if (this.name === "open") this.stays.add(order.orderId);
  }

  async load() {
    if (!this.desk.me.value.account) {
      this.edge = "";
      return this.tell();
    }
    const asked = (this.asked = new AbortController());
    this.isLoading = true;
    this.hasFailed = false;
    this.tell();
    for (let pages = 0, found = 0; pages < MOST_PAGES && found < PAGE; pages++) {
      const answer = await ask("GET", this.next ?? this.first, { signal: asked.signal });
      if (asked.signal.aborted) return;
      if (!answer.ok) {
        this.hasFailed = answer.status !== 400;
        this.edge ??= "";
        break;
      }
      const { results, next } = answer.body;
      found += this.take(results);
      this.next = next && pathOf(next);
      this.edge = this.next ? (results.at(-1)?.orderId ?? this.edge) : "";
      if (!this.next || this.name === "open") break;
    }
    this.isLoading = false;
    this.tell();
  }

  take(results) {
    results.forEach((order) => this.desk.orders.take(order));
    return results.filter((order) => this.passes(order)).length;
  }

  get first() {
    const query = { limit: PAGE, ...this.view.query, ...this.filter.query };
    if (this.name === "open" && query.status) delete query.state;
    return `/api/orders?${new URLSearchParams(query)}`;
  }

  passes(order) {
    return this.filter.passes(order);
  }

  /** Return what is shown, from above: ids, and "part" where what has ended begins. */
  rows() {
    const all = this.desk.orders.all().filter((order) => order.createdAt && order.tokenIn && this.passes(order));
    const shown = this.name === "open" ? this.open(all) : all.filter((order) => this.view.has(order) && this.isLoaded(order));
    const found = this.folded(shown);
    this.isCut = found.length > this.most;
    return found.slice(0, this.most);
  }

  open(all) {
    const since = Date.now() - RECENT;
    const open = all.filter((order) => !isOver(order) || this.stays.has(order.orderId));
    const ended = all.filter((order) => isOver(order) && !this.stays.has(order.orderId) && Date.parse(order.finishedAt) > since);
    const recent = ended.slice(0, MOST_RECENT);
    return recent.length ? [...open, null, ...recent] : open;
  }

  isLoaded(order) {
    return this.edge === null || order.orderId >= this.edge || !this.desk.me.value.account;
  }

  /** Slices stand below the order that makes them, and only if it is unfolded. */
  folded(shown) {
    const here = new Map(shown.filter(Boolean).map((order) => [order.orderId, order]));
    const isSlice = (order) => order?.slice !== undefined && order?.slice !== null && here.has(order.parentOrderId);
    const slices = shown.filter(isSlice);
    return shown.filter((order) => !isSlice(order)).flatMap((order) => {
      if (!order) return ["part"];
      const own = this.unfolded.has(order.orderId) ? slices.filter(({ parentOrderId }) => parentOrderId === order.orderId) : [];
      return [order.orderId, ...own.map(({ orderId }) => orderId)];
    });
  }
}

const pathOf = (url) => {
  const { pathname, search } = new URL(url, location.href);
  return pathname + search;
};
