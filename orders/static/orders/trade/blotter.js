/** The blotter: the reader's orders as a live table. Rows keep their places; only what changed is written. */

import { askToAmend, askToCancel, close } from "./amending.js";
import { ask } from "./api.js";
import { $, all, el, frame, mark, say, write } from "./dom.js";
import { clock } from "./format.js";
import { Listing } from "./listing.js";
import { Row } from "./row.js";
import { isOver, isUnderWay, marketOf } from "./way.js";
import { titleOf } from "./wording.js";
import { words } from "./words.js";

const said = words.blotter;
const SECOND = 1_000;
const QUIET = 15; // seconds without a pointer, after which ended orders go where they belong
const COLUMNS = 9;
const BONES = 5;
const KEPT = 200; // ended orders in memory besides those that are shown; older ones are fetched again
const MOST_CANCELLED = 500; // by their ids, in one request

export function start(desk) {
  return new Blotter(desk);
}

class Blotter {
  constructor(desk) {
    Object.assign(this, { desk, rows: new Map(), dirty: new Set(), shown: [], held: new Set(), ends: [], parents: new Set(), telling: null, quiet: 0 });
    this.panel = $("#blotter");
    this.body = $("#rows tbody");
    this.current = null; // the row that Tab leads to
    this.part = el("tr", { class: "part" }, el("th", { colspan: COLUMNS, scope: "colgroup", text: said.endedRecently }));
    this.draw = frame(() => this.drawNow());
    this.listing = new Listing(desk, () => this.change());
    desk.open = (id) => this.open(id);
    this.listen();
    this.listenToKeys();
    this.change();
  }

  listen() {
    const { desk } = this;
    desk.orders.subscribe((order, event, before) => this.changed(order, event, before));
    desk.link.subscribe(({ state }) => {
      mark(this.panel, "data-old", state === "live" ? null : "true");
      this.touchAll();
    });
    desk.engine.subscribe(() => this.touchAll());
    desk.selected.subscribe((id) => this.select(id));
    desk.prices.subscribe((market) => this.touch((order) => order.status === "open" && marketOf(order) === market));
    setInterval(() => this.tick(), SECOND);
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("pointerleave", () => this.release());
    all(".tabs [role=tab]", this.panel).forEach((tab) => {
      tab.addEventListener("click", () => this.choose(tab));
      tab.addEventListener("keydown", (event) => this.turnTab(event, tab));
    });
    const filter = $("#filter");
    filter.addEventListener("input", () => this.filterSoon(filter.value));
    filter.addEventListener("keydown", ({ key }) => key === "Escape" && this.setFilter(""));
    $("#export").addEventListener("click", () => this.export());
    $("#cancel-all").addEventListener("click", () => this.askToCancelAll());
    $("#blotter-more").addEventListener("click", () => this.listing.more());
    $("#blotter-news").addEventListener("click", () => this.release());
    $("#no-match button").addEventListener("click", () => this.setFilter(""));
    $("#export").hidden = !desk.me.value.account;
    all("#blotter-empty [data-sends]").forEach((button) => button.addEventListener("click", () => this.sendFirst(button)));
  }

  // What changes.

  changed(order, event, before) {
    const id = (order ?? before).orderId;
    if (order) this.dirty.add(id);
    const isKnown = before && before.createdAt && before.tokenIn;
    if (order && before && isOver(order) && !isOver(before) && event) {
      this.listing.ended(order);
      this.tellOfEnd(order);
    }
    if (order) this.keepParent(order, before);
    if (!order || !isKnown || order.status !== before.status) this.isListOld = true;
    this.draw();
  }

  /** How far a TWAP is, no event of its own tells: it is asked for when one of its slices moves, once a second. */
  keepParent(order, before) {
    const id = order.type === "twap" && !isOver(order) ? order.orderId : order.parentOrderId;
    const isMoved = order.type === "twap" ? !before : order.slice !== undefined && (!before || isOver(order) !== isOver(before));
    if (!isMoved || !id || this.parents.has(id) || !this.desk.orders.get(id)) return;
    this.parents.add(id);
    setTimeout(async () => {
      const answer = await ask("GET", `/api/orders/${id}`);
      this.parents.delete(id);
      if (answer.ok) this.desk.orders.take(answer.body);
    }, SECOND);
  }

  /** Orders that end in the same second are told in one sentence. */
  tellOfEnd(order) {
    this.ends.push(order);
    this.telling ??= setTimeout(() => {
      this.desk.announce(said.ended(this.ends.map((one) => ({ title: titleOf(one), status: words.status[one.status] }))));
      this.ends = [];
      this.telling = null;
    }, SECOND);
  }

  change() {
    this.isListOld = true;
    this.draw();
  }

  touch(passes) {
    for (const [id, row] of this.rows) if (row.order && passes(row.order)) this.dirty.add(id);
    if (this.dirty.size) this.draw();
  }

  touchAll() {
    this.touch((order) => !isOver(order));
  }

  tick() {
    this.touch((order) => !isOver(order));
    this.quiet = this.isPointedAt || this.body.contains(document.activeElement) ? 0 : this.quiet + 1;
    if (this.quiet < QUIET) return;
    this.quiet = 0;
    this.forgetOld();
    if (!this.listing.stays.size) return;
    this.listing.settle();
    this.change();
  }

  /** A page that is left open stays as light as it was. */
  forgetOld() {
    const { orders, selected } = this.desk;
    const shown = new Set(this.shown);
    const old = orders.all().filter((order) => isOver(order) && !shown.has(order.orderId) && order.orderId !== selected.value);
    old.slice(KEPT).forEach(({ orderId }) => orders.drop(orderId));
  }

  get isPointedAt() {
    return this.body.matches(":hover") && matchMedia("(hover: hover)").matches;
  }

  // Drawing, at most once a frame.

  drawNow() {
    if (this.isListOld) this.drawList();
    const { state, asOf } = this.desk.link.value;
    const old = state === "live" || !asOf ? "" : said.asOf(clock(asOf));
    for (const id of this.dirty) this.rows.get(id)?.draw(old);
    this.dirty.clear();
  }

  drawList() {
    this.isListOld = false;
    const found = this.listing.rows();
    const isHeld = this.isPointedAt && this.shown.length > 0 && !this.isChosenAnew;
    this.isChosenAnew = false;
    this.held = new Set(isHeld ? found.filter((id) => id !== "part" && !this.rows.has(id)) : []);
    const next = isHeld ? this.shown.filter((id) => id === "part" || this.desk.orders.get(id)) : found;
    this.place(next);
    this.drawAround(found);
    this.wantPrices();
  }

  /** Put the rows in order. One that stands where it should is not touched. */
  place(ids) {
    const wanted = new Set(ids);
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      if (row.element.contains(document.activeElement)) this.panel.focus({ preventScroll: true });
      row.element.remove();
      this.rows.delete(id);
    }
    if (!wanted.has("part")) this.part.remove();
    let place = this.body.firstElementChild;
    for (const id of ids) {
      const element = id === "part" ? this.part : this.rowOf(id).element;
      if (element === place) place = place.nextElementSibling;
      else this.body.insertBefore(element, place);
    }
    while (place) {
      const next = place.nextElementSibling;
      place.remove();
      place = next;
    }
    this.shown = ids;
    this.markGroups();
    if (!this.rows.has(this.current)) this.setCurrent(ids.find((id) => id !== "part") ?? null);
  }

  rowOf(id) {
    const known = this.rows.get(id);
    if (known) return known;
    const order = this.desk.orders.get(id);
    if (isUnderWay(order) && !order.isWhole) this.desk.orders.load(id); // for its attempts, and since when it waits
    const row = new Row(order, this.desk);
    this.rows.set(id, row);
    if (id === this.desk.selected.value) row.element.setAttribute("aria-selected", "true");
    return row;
  }

  /** Orders of a group that stand beside each other are held together by a line; slices are indented. */
  markGroups() {
    const groupAt = (place) => this.desk.orders.get(this.shown[place])?.groupId ?? null;
    this.shown.forEach((id, place) => {
      const row = this.rows.get(id);
      if (!row) return;
      const own = groupAt(place);
      const above = own && groupAt(place - 1) === own;
      const below = own && groupAt(place + 1) === own;
      mark(row.element, "data-group", above && below ? "middle" : above ? "last" : below ? "first" : null);
      const { order } = row;
      const isBelow = order.slice !== undefined && order.slice !== null && this.rows.has(order.parentOrderId);
      mark(row.element, "data-slice", isBelow ? "true" : null);
      mark(row.element, "aria-expanded", order.type === "twap" ? String(this.listing.unfolded.has(id)) : null);
    });
  }

  drawAround(found) {
    const { listing, desk } = this;
    const open = desk.orders.all().filter((order) => order.tokenIn && !isOver(order)).length;
    all("[data-part=n-open]").forEach((place) => write(place, String(open)));
    const isNothing = found.length === 0;
    const isWaiting = listing.isLoading && isNothing;
    this.drawBones(isWaiting);
    $("#blotter-empty").hidden = !isNothing || isWaiting || !listing.filter.isEmpty || listing.name !== "open";
    $("#nothing-here").hidden = !isNothing || isWaiting || !listing.filter.isEmpty || listing.name === "open";
    $("#no-match").hidden = !isNothing || isWaiting || listing.filter.isEmpty;
    if (!listing.filter.isEmpty) write($("#no-match b"), said.nothingMatches(listing.filter.text));
    $("#blotter-more").hidden = !listing.hasMore || isNothing;
    write($("#blotter-more"), listing.isLoading ? said.loading : said.more);
    say($("#blotter-failed"), listing.hasFailed ? said.notLoaded : "");
    say($("#blotter-news"), this.held.size ? said.news(this.held.size) : "");
    $("#cancel-all").disabled = open === 0;
  }

  /** Rows that are asked for, as high as those that come. */
  drawBones(isWaiting) {
    const bones = all("tr.bone", this.body);
    if (!isWaiting) return bones.forEach((one) => one.remove());
    if (bones.length) return;
    const bone = () => el("tr", { class: "bone", "aria-hidden": "true" }, ...Array.from({ length: COLUMNS }, () => el("td", {}, el("span", { class: "skeleton", text: "00.00" }))));
    this.body.replaceChildren(...Array.from({ length: BONES }, bone));
  }

  wantPrices() {
    const resting = this.shown.map((id) => this.desk.orders.get(id)).filter((order) => order?.status === "open");
    this.desk.prices.want("blotter", new Set(resting.map(marketOf)));
  }

  /** Show what was held back while the pointer was over the rows. */
  release() {
    this.isChosenAnew = true;
    if (this.held.size) this.change();
  }

  // Views and the filter.

  choose(tab) {
    all(".tabs [role=tab]", this.panel).forEach((one) => {
      one.setAttribute("aria-selected", String(one === tab));
      one.tabIndex = one === tab ? 0 : -1;
    });
    $("#blotter-body").setAttribute("aria-labelledby", tab.id);
    this.isChosenAnew = true;
    this.listing.choose(tab.id.replace("tab-", ""), this.listing.filter.text);
  }

  turnTab(event, tab) {
    const tabs = all(".tabs [role=tab]", this.panel);
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(tab) + way + tabs.length) % tabs.length];
    this.choose(next);
    next.focus();
  }

  filterSoon(text) {
    clearTimeout(this.filtering);
    this.filtering = setTimeout(() => this.setFilter(text, false), 150);
  }

  setFilter(text, isWritten = true) {
    clearTimeout(this.filtering);
    if (isWritten) $("#filter").value = text;
    this.isChosenAnew = true;
    this.listing.choose(this.listing.name, text);
  }

  export() {
    const { view, filter, name } = this.listing;
    const { limit, ...query } = { ...(name === "open" ? { state: "active" } : view.query), ...filter.query };
    void limit;
    location.assign(`/api/orders.csv?${new URLSearchParams(query)}`);
  }

  // Cancelling all that is open.

  openNow() {
    return this.desk.orders.all().filter((order) => order.tokenIn && !isOver(order) && this.listing.passes(order));
  }

  askToCancelAll() {
    const bar = $("#cancel-all-ask");
    const count = this.openNow().length;
    const yes = el("button", { class: "btn btn-small danger", type: "button", text: said.yesCancelAll(count) });
    const keep = el("button", { class: "btn btn-small", type: "button", text: said.keep });
    const leave = () => {
      bar.hidden = true;
      $("#cancel-all").focus();
    };
    yes.addEventListener("click", () => this.cancelAll(bar));
    keep.addEventListener("click", leave);
    bar.onkeydown = (event) => event.key === "Escape" && (event.preventDefault(), leave());
    bar.replaceChildren(el("p", { text: said.cancelAllAsk(count, this.listing.filter.text) }), yes, keep);
    bar.hidden = false;
    yes.focus();
  }

  async cancelAll(bar) {
    bar.replaceChildren(el("p", { text: said.cancelling }));
    const body = this.desk.me.value.account ? this.listing.filter.ofCancelAll : null;
    const ids = this.openNow().map(({ orderId }) => orderId).slice(0, MOST_CANCELLED);
    const answer = body ? await ask("POST", "/api/orders/cancel-all", { body }) : await ask("POST", "/api/orders/cancel", { body: { orderIds: ids } });
    const done = answer.body.cancelled ?? (Array.isArray(answer.body) ? answer.body.filter(({ status }) => status === 200).length : 0);
    const text = answer.ok ? said.cancelledAll(done, Math.max(0, ids.length - done)) : answer.isLost ? said.unknown : (answer.body.detail ?? said.refused);
    const ok = el("button", { class: "btn btn-small", type: "button", text: said.fine });
    ok.addEventListener("click", () => {
      bar.hidden = true;
      $("#cancel-all").focus();
    });
    bar.replaceChildren(el("p", { text }), ok);
    ok.focus();
    this.desk.announce(text);
  }

  // Rows: pressed, and by the keyboard.

  click({ target }) {
    const row = this.rows.get(target.closest("tr")?.dataset.id);
    if (!row || target.closest(".ask")) return;
    const act = target.closest("[data-act]")?.dataset.act;
    this.setCurrent(row.id);
    if (act === "cancel") return askToCancel(row, this.desk);
    if (act === "amend") return askToAmend(row, this.desk);
    if (row.order.type === "twap" && target.closest(".way")) return this.unfold(row.id);
    this.open(row.id);
  }

  unfold(id) {
    const { unfolded } = this.listing;
    if (!unfolded.delete(id)) unfolded.add(id);
    this.isChosenAnew = true;
    this.fetchSlices(id);
    this.change();
  }

  async fetchSlices(id) {
    const answer = await ask("GET", `/api/orders?${new URLSearchParams({ parentOrderId: id, limit: 200 })}`);
    if (answer.ok) answer.body.results.forEach((order) => this.desk.orders.take(order));
  }

  open(id) {
    this.desk.selected.set(id);
    this.desk.showDrawer?.(this.rows.get(id)?.element);
  }

  select(id) {
    for (const one of all("[aria-selected=true]", this.body)) one.removeAttribute("aria-selected");
    this.rows.get(id)?.element.setAttribute("aria-selected", "true");
  }

  setCurrent(id) {
    const before = this.rows.get(this.current);
    if (before) before.element.tabIndex = -1;
    this.current = id;
    const row = this.rows.get(id);
    if (row) row.element.tabIndex = 0;
  }

  listenToKeys() {
    const { keys } = this.desk;
    keys.on("j", () => this.step(1), said.keys.next, "J");
    keys.on("k", () => this.step(-1), said.keys.previous, "K");
    keys.on("o", () => this.withRow((row) => this.open(row.id)), said.keys.open);
    keys.on("c", () => this.withRow((row) => askToCancel(row, this.desk)), said.keys.cancel, "C C");
    keys.on("a", () => this.withRow((row) => askToAmend(row, this.desk)), said.keys.amend);
    keys.on("r", () => this.withRow((row) => this.desk.ticket.fill?.(row.order)), said.keys.again);
    keys.on("/", () => $("#filter").focus(), said.keys.filter, "/");
    this.body.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    const isOnRow = event.target.matches("tr");
    if (event.key === "Escape") {
      const row = this.rows.get(event.target.closest("tr")?.dataset.id);
      if (row && close(row, true)) event.preventDefault();
      return;
    }
    if (!isOnRow) return;
    const act = {
      ArrowDown: () => this.step(1),
      ArrowUp: () => this.step(-1),
      Home: () => this.goTo(0),
      End: () => this.goTo(Infinity),
      Enter: () => this.open(this.current),
      ArrowRight: () => this.fold(true),
      ArrowLeft: () => this.fold(false),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  fold(isUnfolded) {
    const { order, id } = this.rows.get(this.current) ?? {};
    if (order?.type === "twap" && this.listing.unfolded.has(id) !== isUnfolded) this.unfold(id);
  }

  step(way) {
    const ids = this.shown.filter((id) => id !== "part");
    const isInside = this.body.contains(document.activeElement);
    this.goTo(isInside ? ids.indexOf(this.current) + way : Math.max(0, ids.indexOf(this.current)));
  }

  goTo(place) {
    const ids = this.shown.filter((id) => id !== "part");
    const id = ids[Math.max(0, Math.min(ids.length - 1, place))];
    if (!id) return;
    this.setCurrent(id);
    this.rows.get(id).element.focus();
    if (this.desk.isDrawerDocked?.()) this.desk.selected.set(id);
  }

  withRow(act) {
    const row = this.rows.get(this.current);
    if (row) act(row);
  }

  sendFirst(button) {
    const [base, quote] = this.desk.market.value.split("/");
    this.desk.ticket.fill?.({ type: "market", side: "sell", baseToken: base, quoteToken: quote, tokenIn: base, tokenOut: quote, amountIn: "1.5", amountOut: null });
    $(button.dataset.sends)?.click();
  }
}
