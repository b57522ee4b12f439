/** The order that was chosen, as a case file: docked beside the chart, else a dialog over the page. */

import { $, all, el, frame, icon, mark, write } from "./dom.js";
import { bps, clock, exact, price, seconds, utc } from "./format.js";
import { drawFork, otherName, reasonOf, scaleOf, whyOf } from "./fork.js";
import { attemptsOf, eventsOf, fillOf, gainsOf, isExactOut, isOver, isUnderWay, marketOf, sinceOf, timesOf, tookOf } from "./way.js";
import { failureText, lateness, noteOf, restOf, titleOf, usualText } from "./wording.js";
import { words } from "./words.js";

const said = words.drawer;
const DOCKED = matchMedia("(min-width: 84.01rem)");
const SPANS = ["pending", "routing", "building", "submitted"];
const BEHIND = ".skip, .top, .banner, .left, .center, #blotter, .bottom, .foot"; // a dialog has the page for itself

export function start(desk) {
  return new Drawer(desk);
}

class Drawer {
  constructor(desk) {
    Object.assign(this, { desk, id: null, attempt: null, keys: new Map(), from: null });
    this.element = $("#drawer");
    this.draw = frame(() => this.drawNow());
    desk.showDrawer = (from) => this.show(from);
    desk.isDrawerDocked = () => DOCKED.matches;
    desk.selected.subscribe((id) => this.choose(id));
    desk.orders.subscribe((order) => this.changed(order));
    for (const one of [desk.engine, desk.link]) one.subscribe(() => this.draw());
    setInterval(() => this.tick(), 1_000);
    DOCKED.addEventListener("change", () => this.dock());
    desk.keys.on("Escape", () => this.hide(), words.keys.escape, "Esc");
    this.element.addEventListener("keydown", (event) => this.keepFocus(event));
    this.makeEmpty();
  }

  get order() {
    return this.desk.orders.get(this.id);
  }

  choose(id) {
    if (id === this.id) return;
    Object.assign(this, { id, attempt: null });
    this.keys.clear();
    if (!id) return this.makeEmpty();
    this.desk.orders.load(id);
    this.make();
    this.draw();
  }

  changed(order) {
    if (order?.orderId === this.id) this.draw();
    else if (!this.id && order?.tokenIn && DOCKED.matches && isUnderWay(order)) this.desk.selected.set(order.orderId); // the first one is shown by itself
  }

  tick() {
    const { order } = this;
    if (order && !isOver(order)) this.drawState(order);
  }

  // Open and closed, where it slides over.

  show(from) {
    this.from = from ?? document.activeElement;
    if (DOCKED.matches) return;
    document.body.dataset.drawer = "open";
    this.dock();
    $(".close", this.element)?.focus();
  }

  hide() {
    if (document.body.dataset.drawer !== "open") return false;
    document.body.dataset.drawer = "";
    this.dock();
    if (this.from?.isConnected) this.from.focus();
    else $("#blotter").focus();
    return true;
  }

  /** Where it is docked it is a part of the page; where it slides over it is a dialog. */
  dock() {
    const isDialog = !DOCKED.matches && document.body.dataset.drawer === "open";
    mark(this.element, "role", isDialog ? "dialog" : null);
    mark(this.element, "aria-modal", isDialog ? "true" : null);
    all(BEHIND).forEach((one) => (one.inert = isDialog));
  }

  keepFocus(event) {
    if (event.key !== "Tab" || this.element.getAttribute("role") !== "dialog") return;
    const inside = all("a[href], button:not(:disabled), summary, input", this.element).filter((one) => one.offsetParent);
    const [first, last] = [inside[0], inside.at(-1)];
    const next = event.shiftKey && document.activeElement === first ? last : !event.shiftKey && document.activeElement === last ? first : null;
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  // The parts, each made once for an order and written anew only if what it tells has changed.

  makeEmpty() {
    this.element.replaceChildren(el("div", { class: "nobody" }, el("b", { text: said.nothing }), el("p", { class: "unit", text: said.choose })));
  }

  make() {
    const close = el("button", { class: "btn btn-quiet btn-icon close", type: "button", "aria-label": said.close }, icon("cross"));
    close.addEventListener("click", () => this.hide());
    const part = (name, ...children) => (this[name] = el("section", { class: `block ${name}`, hidden: true }, ...children));
    this.title = el("h2", { id: "drawer-title" });
    this.state = el("p", { class: "state" }, el("i"), el("b"), el("span", { class: "unit" }));
    this.facts = el("dl", { class: "facts" });
    this.tabs = el("div", { class: "attempts", role: "group", "aria-label": said.attempts, hidden: true });
    this.fault = el("p", { class: "fault", hidden: true });
    this.summary = el("p", { class: "asked", hidden: true });
    this.log = el("ol", { class: "log" });
    this.logTitle = el("span", { class: "unit" });
    this.ids = el("dl", { class: "ids" });
    const scroller = el("div", { class: "body", tabindex: "0", role: "group", "aria-label": said.details },
      this.facts, this.summary, this.fault, this.tabs, part("why-block"), part("scale-block"), part("time-block"),
      el("section", { class: "block" }, el("h3", {}, said.events, " ", this.logTitle), this.log), this.ids);
    this.element.replaceChildren(el("header", {}, this.title, this.state, close), scroller, this.makeFoot());
    this.element.setAttribute("aria-labelledby", "drawer-title");
    this.element.removeAttribute("aria-label");
  }

  makeFoot() {
    const again = el("button", { class: "btn btn-small", type: "button", text: said.again });
    again.addEventListener("click", () => {
      this.hide();
      this.desk.ticket.fill?.(this.order);
    });
    this.cancel = el("button", { class: "btn btn-small", type: "button", text: said.cancel });
    this.cancel.addEventListener("click", () => this.askToCancel());
    const curl = el("button", { class: "link", type: "button", text: "curl" });
    curl.addEventListener("click", () => copy(curl, curlOf(this.order)));
    const link = (text, href) => el("a", { href, text, target: "_blank", rel: "noopener" });
    return el("footer", {}, again, this.cancel, el("p", { class: "answer", role: "alert" }),
      el("span", { class: "links" }, link("API", `/api/orders/${this.id}`), link(said.events, `/api/orders/${this.id}/events`), curl,
        this.desk.me.value.isStaff ? link(said.caseFile, `/admin/orders/order/${this.id}/change/`) : null));
  }

  drawNow() {
    const { order } = this;
    if (!order?.tokenIn || !this.title?.isConnected) return;
    const attempts = attemptsOf(order);
    write(this.title, titleOf(order));
    this.drawState(order);
    this.redraw("facts", [order.status, order.executedPrice, order.decision?.quote, order.vsOtherBps, order.vsQuoteBps, order.summary], () => this.drawFacts(order));
    this.drawFault(order, attempts);
    this.redraw("tabs", [attempts.length, this.attempt, attempts.map(({ fault }) => fault?.failureCode)], () => this.drawTabs(attempts));
    const chosen = attempts.find(({ number }) => number === this.attempt) ?? attempts.at(-1) ?? null;
    const seen = [chosen?.number, chosen?.decision?.reason, chosen?.fault?.reason, order.executedPrice, order.status];
    this.redraw("why", seen, () => this.drawWhy(order, chosen));
    this.redraw("scale", [...seen, order.minAmountOut, order.maxAmountIn], () => this.drawScale(order, chosen));
    this.redraw("time", [order.seq, order.events.size], () => this.drawTime(order));
    this.redraw("log", [order.events.size, order.seq], () => this.drawLog(order));
    this.redraw("ids", [order.txHash, order.clientOrderId], () => this.drawIds(order));
    this.drawCancel(order);
  }

  redraw(name, about, draw) {
    const key = JSON.stringify(about);
    if (this.keys.get(name) === key) return;
    this.keys.set(name, key);
    draw();
  }

  drawState(order) {
    const { engine, link, orders } = this.desk;
    const now = Date.now();
    mark(this.state, "data-status", order.status);
    write($("b", this.state), words.status[order.status]);
    const { state, asOf } = link.value;
    const old = state !== "live" && asOf && !orders.isFinal(order) ? words.blotter.asOf(clock(asOf)) : "";
    write($("span", this.state), [stateText(order, this.desk.prices.of(marketOf(order)), engine.value, now), old].filter(Boolean).join(" · "));
    mark(this.state, "data-old", old ? "true" : null);
  }

  drawFacts(order) {
    const { venues } = this.desk.page;
    const fill = fillOf(order);
    this.facts.hidden = !fill && !order.decision;
    write(this.summary, order.type === "market" ? "" : order.summary);
    this.summary.hidden = this.summary.textContent === "";
    const token = isExactOut(order) ? order.tokenIn : order.tokenOut;
    const name = isExactOut(order) ? "amountIn" : "amountOut";
    const value = (fill ?? order.decision?.quote)?.[name] ?? null;
    const words_ = isExactOut(order) ? [said.paid, said.expectedToPay] : [said.got, said.expected];
    const gains = gainsOf(order);
    const other = otherName(order, venues);
    const expected = order.decision && !fill ? priceBetween(order, order.decision.quote) : order.executedPrice;
    const facts = [
      [words_[fill ? 0 : 1], value === null ? "–" : exact(value), token],
      [said.priceAllIn, expected ? price(expected, marketOf(order)) : "–", ""],
      [said.againstQuote, bps(gains.quote, { sign: true }), ""],
      [other ? said.against(other) : said.againstOther, gains.other === null && order.decision?.marginBps && !isOver(order) ? `+${order.decision.marginBps} bps` : bps(gains.other, { sign: true }), ""],
    ];
    this.facts.replaceChildren(...facts.map(([term, text, unit]) => el("div", {}, el("dt", { text: term }), el("dd", { text }, unit ? el("span", { class: "unit", text: ` ${unit}` }) : null))));
    if (order.vsOtherAmount) this.facts.lastChild.title = `${order.vsOtherAmount} ${token}`;
  }

  drawFault(order, attempts) {
    const { venues } = this.desk.page;
    const last = attempts.at(-1)?.fault;
    const text = order.status === "failed" ? failureText(order, attempts, venues)
      : isOver(order) && order.status !== "confirmed" ? words.blotter.endings(order.status, noteOf(order, null), Boolean(order.txHash))
        : order.status === "open" && last ? said.returned(last.reason) : "";
    write(this.fault, text);
    this.fault.hidden = !text;
  }

  drawTabs(attempts) {
    this.tabs.hidden = attempts.length < 2;
    if (attempts.length < 2) return this.tabs.replaceChildren();
    const shown = this.attempt ?? attempts.at(-1).number;
    this.tabs.replaceChildren(...attempts.map(({ number, fault }) => {
      const button = el("button", { class: "btn btn-small", type: "button", "aria-pressed": String(number === shown), text: said.attempt(number) },
        fault ? el("span", { class: "unit", text: words.blotter.failures[fault.failureCode] ?? fault.failureCode }) : null);
      button.addEventListener("click", () => {
        this.attempt = number;
        this.draw();
      });
      return button;
    }));
  }

  drawWhy(order, attempt) {
    const { venues } = this.desk.page;
    const block = this["why-block"];
    const decision = attempt?.decision ?? null;
    const fork = drawFork(order, decision, attempt?.fault?.dropped, venues);
    block.hidden = !fork;
    if (!fork) return block.replaceChildren();
    const reason = decision ? reasonOf(decision, venues) : words.sentence(attempt.fault.reason ?? "");
    const broken = decision && attempt.fault ? el("p", { class: "why broken", text: words.sentence(attempt.fault.reason ?? "") }) : null;
    block.replaceChildren(el("h3", { text: whyOf(order, decision, venues) }), fork, ...[el("p", { class: "why", text: reason }), broken].filter(Boolean));
  }

  drawScale(order, attempt) {
    const block = this["scale-block"];
    const decision = attempt?.decision;
    const isShown = Boolean(decision?.quote && (decision.minAmountOut || decision.maxAmountIn || order.minAmountOut || order.maxAmountIn));
    block.hidden = !isShown;
    if (!isShown) return block.replaceChildren();
    const fill = order.status === "confirmed" && !attempt.fault ? fillOf(order) : null;
    const { bound, quote, got, place, gain } = scaleOf(order, decision, fill);
    const name = isExactOut(order) ? "amountIn" : "amountOut";
    const text = (value) => exact(String(value));
    const dot = el("i", { class: got === null ? "got waiting" : gain < 0 ? "got worse" : "got" });
    dot.style.left = `${place ?? 52}%`;
    const label = (part, value, under) => el("span", { class: part, text: value }, el("small", { text: under }));
    block.replaceChildren(el("h3", { text: said.scale }), el("div", { class: "scale" }, el("i", { class: "bound" }), el("i", { class: "mid" }), dot,
      label("l", text(isExactOut(order) ? (decision.maxAmountIn ?? order.maxAmountIn) : (decision.minAmountOut ?? order.minAmountOut)), said.bound),
      label("m", text(decision.quote[name]), said.quote),
      label("r", got === null ? (isOver(order) ? said.none : said.notYet) : text(fill[name]), gain === null ? said.fill : said.fillAgainst(bps(gain, { sign: true })))),
      el("p", { class: "unit", text: isExactOut(order) ? said.neverMore : said.neverLess }));
    void bound;
    void quote;
  }

  drawTime(order) {
    const block = this["time-block"];
    const times = timesOf(order);
    const spans = SPANS.map((name) => [name, times[name]]).filter(([, ms]) => ms > 0);
    block.hidden = spans.length === 0;
    if (block.hidden) return;
    const parts = spans.map(([name, ms]) => {
      const part = el("i", { class: `w${SPANS.indexOf(name)}`, title: `${said.spans[name]} ${seconds(ms)}` });
      part.style.flexGrow = String(Math.max(ms, 40));
      return part;
    });
    const sum = spans.reduce((whole, [, ms]) => whole + ms, 0);
    block.replaceChildren(el("h3", {}, said.time, " ", el("span", { class: "unit", text: order.attempts > 1 ? said.allAttempts(order.attempts) : "" })),
      el("div", { class: "water" }, ...parts),
      el("ul", { class: "key" }, ...spans.map(([name, ms]) => el("li", { class: `w${SPANS.indexOf(name)}` }, said.spans[name], el("b", { text: seconds(ms) }))),
        el("li", { class: "sum" }, said.sum, el("b", { text: seconds(sum) }))));
  }

  drawLog(order) {
    const events = eventsOf(order);
    const [first] = events;
    write(this.logTitle, order.isWhole ? said.noGap(order.seq) : said.loading);
    const begin = first ? Date.parse(first.timestamp) : 0;
    const known = this.log.children.length;
    const isSame = known <= events.length && all(":scope > li", this.log).every((line, place) => line.dataset.seq === String(events[place].seq));
    if (!isSame) this.log.replaceChildren();
    this.log.append(...events.slice(isSame ? known : 0).map((event) => drawLine(event, event === first ? clock(event.timestamp) : `+${seconds(Date.parse(event.timestamp) - begin)}`)));
  }

  drawIds(order) {
    const ids = [[said.transaction, order.txHash], [said.orderId, order.orderId], [said.yourId, order.clientOrderId], [said.groupId, order.groupId], [said.parentId, order.parentOrderId]];
    this.ids.replaceChildren(...ids.filter(([, value]) => value).map(([name, value]) => {
      const button = el("button", { class: "btn btn-quiet btn-icon btn-small", type: "button", "aria-label": said.copy(name) }, icon("copy"));
      button.addEventListener("click", () => copy(button, value));
      return el("div", {}, el("dt", { text: name }), el("dd", { class: "mono" }, el("span", { text: value, title: value }), button));
    }));
  }

  // Cancelling, with the reason where it cannot be done.

  drawCancel(order) {
    const can = this.desk.page.cancellable.includes(order.status);
    this.cancel.disabled = !can;
    mark(this.cancel, "title", can ? null : order.status === "submitted" ? said.sent : said.isOver);
  }

  async askToCancel() {
    const place = $(".answer", this.element);
    if (this.cancel.dataset.asked !== this.id) {
      this.cancel.dataset.asked = this.id;
      write(this.cancel, said.yesCancel);
      return setTimeout(() => this.unask(), 5_000);
    }
    this.unask();
    const answer = await this.desk.act.cancel(this.id);
    if (answer.ok) return this.desk.orders.take(answer.body.order ?? answer.body);
    write(place, answer.isLost ? words.blotter.unknown : answer.body.orderStatus === "submitted" ? words.blotter.tooLate("") : (answer.body.detail ?? words.blotter.refused));
    setTimeout(() => write(place, ""), 8_000);
  }

  unask() {
    delete this.cancel.dataset.asked;
    write(this.cancel, said.cancel);
  }
}

function stateText(order, prices, engine, now) {
  if (isOver(order)) return said.after(seconds(tookOf(order, now)));
  if (order.status === "open") {
    const { main, unit } = restOf(order, prices, engine, now);
    return [main, unit].filter(Boolean).join(" · ");
  }
  const running = said.running(((now - sinceOf(order)) / 1000).toFixed(1));
  const note = lateness(order, engine, now) || usualText(engine, order.status);
  const attempt = order.attempts > 1 ? words.blotter.attempt(order.attempts) : "";
  const wait = order.status === "pending" ? noteOf(order, engine, now) : attempt;
  return [running, note, wait === note ? "" : wait].filter(Boolean).join(" · ");
}

function priceBetween({ side }, { amountIn, amountOut }) {
  const [paid, got] = [Number(amountIn), Number(amountOut)];
  return paid && got ? (side === "sell" ? got / paid : paid / got) : null;
}

/** One line of the log; what the event holds is folded behind it. */
function drawLine(event, at) {
  const { seq, status, event: name, message, data, timestamp } = event;
  const hasData = Object.keys(data).length > 0;
  const line = [el("span", { class: "at", text: at, title: utc(timestamp) }), el("b", { text: name ?? status }), el("span", { text: message })];
  if (!hasData) return el("li", { "data-seq": seq, "data-status": status }, ...line);
  const details = el("details", {}, el("summary", {}, ...line));
  details.addEventListener("toggle", () => details.children.length < 2 && details.append(el("pre", { class: "mono", tabindex: "0", text: JSON.stringify(data, null, 1) })));
  return el("li", { "data-seq": seq, "data-status": status }, details);
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.dataset.copied = "true";
    button.title = said.copied;
    setTimeout(() => delete button.dataset.copied, 1_500);
  } catch {
    button.title = text; // the clipboard may be closed to pages
  }
}

/** Return a command that sends the same order again. */
function curlOf(order) {
  const names = ["type", "tokenIn", "tokenOut", "amountIn", "amountOut", "slippageBps", "limitPrice", "triggerPrice", "trailBps", "venues", "excludeVenues", "maxPriceImpactBps"];
  const body = Object.fromEntries(names.filter((name) => order[name] !== null && order[name] !== undefined).map((name) => [name, order[name]]));
  return `curl -s ${location.origin}/api/orders/execute -H 'content-type: application/json' -H "Authorization: Bearer $KEY" -d '${JSON.stringify(body)}'`;
}
