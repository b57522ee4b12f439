/** The live page: sends what the ticket says, and follows every order that this browser has sent. */

import { OrderCard, isFinal } from "./live-order.js";
import { PriceStreams } from "./live-prices.js";
import { limitsOf } from "./live-route.js";
import { OrderStream } from "./live-stream.js";
import { TermsFields } from "./live-terms.js";

const KEPT = 20; // orders that survive a reload
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ticket = document.getElementById("ticket");
const orders = new Map(); // id -> { card, stream }, oldest first
const prices = new PriceStreams(showPrices);
const terms = new TermsFields(ticket, prices);

// Sending.

async function post(path, body) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1]; // of who is logged in
  if (token) headers["X-CSRFToken"] = token;
  try {
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    return { isAccepted: response.ok, answer: await response.json() };
  } catch {
    return { answer: { detail: "The engine did not answer. Look at /api/orders before you send it again." } };
  }
}

function readTicket() {
  const { side, market, fixed, amount, slippage, impact } = Object.fromEntries(new FormData(ticket));
  const [baseToken, quoteToken] = market.split("/");
  const text = (value) => value.trim() || undefined; // the server says what is missing
  const unwanted = [...ticket.querySelectorAll("[name=venue]:not(:checked)")].map(({ value }) => value);
  return {
    ...{ side, baseToken, quoteToken, [fixed]: text(amount), ...terms.read() },
    slippageBps: terms.hasSlippage ? text(slippage) : undefined,
    ...{ excludeVenues: unwanted.length ? unwanted : undefined, maxPriceImpactBps: text(impact) },
  };
}

ticket.addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const order = readTicket();
  allowSending(false);
  const answers = await Promise.all(
    Array.from({ length: Number(submit.submitter?.value ?? 1) }, () => post("/api/orders/execute", order)),
  );
  allowSending(true);
  submit.submitter?.focus();
  showProblem(answers.find(({ isAccepted }) => !isAccepted)?.answer);
  const accepted = answers.filter(({ isAccepted }) => isAccepted).map(({ answer }) => answer.orderId);
  accepted.forEach(follow);
  remember((ids) => [...accepted.toReversed(), ...ids]);
  orders.get(accepted.at(-1))?.card.element.scrollIntoView({ block: "nearest" });
  if (accepted.length) announce(accepted.length > 1 ? `${accepted.length} orders received` : "Order received");
});

/** Only when nothing is on its way, so that two clicks are not two orders. */
function allowSending(isAllowed) {
  ticket.querySelectorAll("button").forEach((button) => (button.disabled = !isAllowed));
}

async function cancel(card) {
  const { isAccepted, answer } = await post(`/api/orders/${card.orderId}/cancel`, {});
  if (!isAccepted) card.write("fault", answer.detail);
}

// What was wrong, beside the field that it is about.

function showProblem(problem) {
  ticket.querySelectorAll(".error").forEach((place) => ((place.hidden = true), (place.textContent = "")));
  ticket.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
  document.getElementById("log-in").hidden = true;
  if (!problem) return;
  const said = problem.orderId ? `${problem.detail} Its orderId is ${problem.orderId}.` : problem.detail;
  for (const { field, message } of problem.errors ?? [{ message: said }]) {
    const input = field && ticket.querySelector(`[data-fields~="${CSS.escape(field)}"][id]`);
    const place = document.getElementById(`${input?.id ?? "ticket"}-error`);
    place.textContent = input || !field ? message : `${field}: ${message}`;
    place.hidden = false;
    place.closest("details")?.setAttribute("open", "");
    const ticks = input?.querySelectorAll("[type=checkbox]") ?? [];
    (ticks.length ? [...ticks] : [input]).forEach((one) => one?.setAttribute("aria-invalid", "true"));
  }
  ticket.querySelector("[aria-invalid]")?.focus();
  if (problem.error === "not_authenticated") askToLogIn().focus();
}

function askToLogIn() {
  const place = document.getElementById("log-in");
  place.hidden = false;
  return place.querySelector("a");
}

/** What follows from what is filled in: the tokens' names, and the limits while they are folded. */
function showMeaning() {
  const order = readTicket();
  const { side, baseToken, quoteToken, amountOut } = { ...order, amountOut: ticket.fixed.value };
  const [pays, gets] = side === "sell" ? [baseToken, quoteToken] : [quoteToken, baseToken];
  document.getElementById("pay").textContent = `I pay ${pays}`;
  document.getElementById("get").textContent = `I get ${gets}`;
  document.getElementById("amount-unit").textContent = amountOut === "amountOut" ? gets : pays;
  document.getElementById("limits").textContent = limitsOf(order);
  terms.show();
  wantPrices();
}

/** Follow the prices that the ticket or a resting order looks at. */
function wantPrices() {
  const watched = [...orders.values()].map(({ card }) => card.watched);
  if (terms.type !== "market") watched.push(terms.market);
  prices.want(new Set(watched.filter(Boolean)));
}

function showPrices(market) {
  if (terms.market === market) terms.show();
  for (const { card } of orders.values()) if (card.watched === market) card.drawDistance(prices.of(market));
}

// Following.

function follow(orderId) {
  if (orders.has(orderId)) return;
  const card = new OrderCard(orderId, cancel);
  const stream = new OrderStream(orderId, isFinal, {
    event(event) {
      card.add(event);
      if (card.watched) card.drawDistance(prices.of(card.watched));
      if (isFinal(event.status)) announce(`${card.title}: ${event.message}`);
      count();
    },
    connection: (isLost) => card.write("connection", isLost ? "reconnecting…" : ""),
    end(code) {
      if (code === 4404) drop(orderId);
      if (code !== 4401) return;
      card.write("status", "not shown");
      card.write("connection", "log in to see it, if it is yours");
      askToLogIn();
    },
  });
  orders.set(orderId, { card, stream });
  document.getElementById("orders").prepend(card.element);
  count();
}

function drop(orderId) {
  orders.get(orderId)?.card.element.remove();
  orders.delete(orderId);
  remember((ids) => ids.filter((id) => id !== orderId));
  count();
}

function count() {
  const cards = [...orders.values()].map(({ card }) => card);
  const ended = cards.filter(({ status }) => isFinal(status)).length;
  const resting = cards.filter(({ status }) => status === "open").length;
  document.getElementById("empty").hidden = cards.length > 0;
  document.getElementById("forget").hidden = ended === 0;
  document.getElementById("tally").textContent =
    cards.length ? `${resting ? `${resting} resting, ` : ""}${cards.length - ended - resting} under way, ${ended} ended` : "";
  wantPrices();
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

// The ids of recent orders, newest first. Anybody may have written there: only ids are believed.

function remember(change) {
  const ids = change(remembered()).slice(0, KEPT);
  try {
    localStorage.setItem("orders", JSON.stringify(ids));
  } catch {
    // Storage may be switched off; then a reload forgets.
  }
}

function remembered() {
  try {
    const ids = JSON.parse(localStorage.getItem("orders"));
    return Array.isArray(ids) ? ids.filter((id) => UUID.test(id)).slice(0, KEPT) : [];
  } catch {
    return [];
  }
}

document.getElementById("forget").addEventListener("click", () => {
  for (const [orderId, { card }] of orders) if (isFinal(card.status)) drop(orderId);
  document.getElementById("orders").focus();
});
ticket.addEventListener("input", showMeaning);
const wake = () => orders.forEach(({ stream }) => stream.wake());
addEventListener("online", wake);
document.addEventListener("visibilitychange", () => document.hidden || wake());
remembered().toReversed().forEach(follow);
showMeaning();
allowSending(true);
