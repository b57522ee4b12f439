/** An order in words: what it is, what it waits for, why it ended, and what would have helped. */

import { clock, exact, number, percent, price, seconds } from "./format.js";
import { betterBps, distanceOf, eventsOf, goalOf, isExactOut, isOver, marketOf, sinceOf } from "./way.js";
import { words } from "./words.js";

const said = words.blotter;
const ROOM = 5; // bps that an advice leaves for the price to move on
export const SIGNS = { sell: "▼", buy: "▲" };

/** Return an amount as it was asked for, with its digits in groups; the token alone if the market says how much. */
export const givenOf = (value, token) => (value ? `${exact(value)} ${token}` : token);

/** Return what an order sells or buys: `{sign, verb, main, unit}`. */
export function tradeOf(order) {
  const { side, baseToken: base, quoteToken: quote, tokenIn, tokenOut } = order;
  const [pays, gets] = [givenOf(order.amountIn, tokenIn), givenOf(order.amountOut, tokenOut)];
  const isSale = side === "sell";
  return {
    sign: SIGNS[side],
    verb: said.verb[side],
    main: isSale ? (order.amountIn ? pays : base) : order.amountOut ? gets : base,
    unit: isSale ? `→ ${order.amountOut ? gets : quote}` : said.with(order.amountIn ? pays : quote),
  };
}

export function titleOf(order) {
  const { side, tokenIn, tokenOut } = order;
  const [pays, gets] = [givenOf(order.amountIn, tokenIn), givenOf(order.amountOut, tokenOut)];
  return side === "sell" ? said.sells(pays, gets) : said.buys(gets, pays);
}

/** Return the venue or venues of an order. */
export function venueOf(order, venues) {
  const { decision } = order;
  const names = [...new Set((decision?.legs ?? []).map(({ dex }) => dex))];
  if (decision?.hops?.length) return said.hops(decision.hops.length);
  if (names.length > 1) return said.split(names.length);
  return order.route ?? venues[order.routedDex] ?? "–";
}

/** Return the price that a row shows: of the fill, else what the order waits for. */
export function priceOf(order) {
  const found = order.executedPrice ?? (order.status === "open" ? (goalOf(order)?.price ?? order.limitPrice) : null);
  return found ? price(found, marketOf(order)) : "–";
}

/** Return what a resting order does: `{main, unit}`. */
export function restOf(order, prices, engine, now = Date.now()) {
  if (order.type === "twap") {
    const next = order.nextSliceAt ? Math.max(0, Date.parse(order.nextSliceAt) - now) : null;
    return { main: said.slices(order.slicesFilled ?? 0, order.slices ?? 0), unit: next === null ? "" : said.nextSlice(countdown(next)) };
  }
  const until = order.expiresAt ? said.until(clock(order.expiresAt)) : said.untilCancelled;
  if (engine?.state === "halted") return { main: said.rests, unit: said.halted };
  if (order.phase === "held") return { main: said.held, unit: said.heldBecause };
  const again = order.restUntil ? Math.max(0, Date.parse(order.restUntil) - now) : null;
  if (order.phase === "latched") return { main: said.latched, unit: again === null ? "" : said.again(seconds(again)) };
  if (order.type === "sniper") return { main: said.rests, unit: `${said.waitsForPool} · ${until}` };
  const goal = goalOf(order);
  const away = goal && distanceOf(goal, prices);
  const far = goal ? (away === null ? said.noPrice : said.away(signedPercent(away))) : "";
  const main = order.phase === "unarmed" ? said.unarmed : said.rests;
  return { main, unit: [far, until].filter(Boolean).join(" · ") };
}

const signedPercent = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)} %`;
const countdown = (ms) => `${Math.floor(ms / 60_000)}:${String(Math.floor((ms % 60_000) / 1000)).padStart(2, "0")}`;

/** Return the usual time of a step as `{p50, p95}` in seconds, if the engine tells and it can be said in tenths. */
export function usualOf(engine, step) {
  const found = engine?.usualSeconds?.[step];
  return found && Number(found.p95) >= 0.05 ? { p50: Number(found.p50), p95: Number(found.p95) } : null;
}

/** Return in words how long a step usually takes: "usually 2.0 to 3.0 s"; "" if that is not known. */
export function usualText(engine, step) {
  const usual = usualOf(engine, step);
  return usual ? said.usually(usual.p50.toFixed(1), usual.p95.toFixed(1)) : "";
}

/** Return what stands beside the status of an order that is not resting: what it waits for, or why it ended. */
export function noteOf(order, engine, now = Date.now()) {
  if (order.status === "confirmed") return order.attempts > 1 ? said.attempt(order.attempts) : "";
  if (isOver(order)) return endingOf(order);
  const late = lateness(order, engine, now);
  if (late) return late;
  if (order.status === "pending") return retryNote(order, now);
  return order.attempts > 1 ? said.attempt(order.attempts) : "";
}

function retryNote(order, now) {
  const last = eventsOf(order).at(-1);
  if (last?.event !== "retry") return order.cancelRequested ? said.cancelRequested : "";
  const left = dueOf(order) - now;
  return said.retry(order.attempts + 1, left > 0 ? seconds(Math.ceil(left / 100) * 100) : "", last.data.reason ?? "");
}

/** Return since when the next move is due, in ms: since the last one, or from the end of a pause before another attempt. */
function dueOf(order) {
  const last = eventsOf(order).at(-1);
  const pause = last?.event === "retry" ? Number(last.data.retryInSeconds ?? 0) * 1000 : 0;
  return sinceOf(order) + pause;
}

/** Return why an order takes more than twice as long as usual; "" while it does not. */
export function lateness(order, engine, now = Date.now()) {
  const usual = usualOf(engine, order.status);
  const so = now - dueOf(order);
  const isLate = so > Math.max(2_000, 2_000 * (usual?.p95 ?? 5));
  if (!isLate) return "";
  if (engine && engine.workers === 0) return said.noWorker;
  if (order.status === "pending" && engine?.state === "halted") return said.halted;
  if (order.status === "pending" && engine?.budgetLeft === 0) return said.noBudget;
  if (order.status === "pending" && engine?.waiting > 1) return said.waiting(engine.waiting);
  if (order.status === "submitted") return said.notLost(usual?.p95.toFixed(0) ?? "4");
  return usual ? said.longerThan(usual.p95.toFixed(1)) : said.longer;
}

function endingOf(order) {
  if (order.status === "failed") return said.failures[order.failureCode] ?? words.sentence(order.failureCode ?? "");
  if (order.status === "cancelled") return said.reasons[order.reason] ?? said.reasons.user;
  return said.reasons[order.reason] ?? "";
}

/** Return why an order failed, attempt by attempt, and what would have helped: sentences. */
export function failureText(order, attempts, venues) {
  const faults = attempts.filter(({ fault }) => fault);
  const isOne = attempts.length === 1;
  const parts = faults.map((attempt) => {
    const text = faultText(order, attempt, venues);
    return isOne ? text : said.attemptFailed(attempt.number, venueName(attempt, venues), text);
  });
  const fees = faults.reduce((sum, { fault }) => sum + Number(fault.networkFee ?? 0), 0);
  const lines = [words.sentence(parts.length ? parts.join(" · ") : order.error), fees ? said.nothingSwapped(number(fees, 6)) : said.nothingSwappedFree];
  const help = helpOf(order, faults);
  return [...lines, help].filter(Boolean).join(" ");
}

/** Return a text of the engine with the digits of its numbers in groups. */
export const grouped = (text) => text.replace(/(?<![\w.])\d{4,}(?=[.,;]?(\d|\s|$))/g, (digits) => exact(digits));

const venueName = ({ decision }, venues) => venues[decision?.quote?.dex] ?? "";

function faultText(order, { fault, decision }, venues) {
  const beyond = fault.failureCode === "slippage_exceeded" ? beyondBound(order, fault.decision ?? decision) : null;
  if (beyond !== null) return said.beyond(beyond.toFixed(0));
  const out = fault.dropped?.length ? fault.dropped.map((one) => outText(one, venues)).join("; ") : "";
  return out || words.uncapitalised(grouped(fault.reason ?? fault.failureCode));
}

/** The venue is named once, by itself or in its reason. */
const outText = ({ dex, reason }, venues) => (reason.includes(venues[dex]) ? reason : `${venues[dex] ?? dex}: ${reason}`);

/** Return by how many bps a decision misses the order's bound; null if it does not. */
export function beyondBound(order, decision) {
  const name = isExactOut(order) ? "amountIn" : "amountOut";
  const bound = isExactOut(order) ? order.maxAmountIn : order.minAmountOut;
  const miss = bound && decision ? -betterBps(order, decision.quote, { [name]: bound }) : null;
  return miss > 0 ? miss : null;
}

/** Return what would have filled an order: the slippage that its worst attempt asked for. */
function helpOf(order, faults) {
  const misses = faults.map(({ fault, decision }) => beyondBound(order, fault.decision ?? decision)).filter((one) => one !== null);
  if (order.failureCode === "slippage_exceeded" && misses.length && order.slippageBps !== null) {
    const least = Math.min(...misses) + Number(order.slippageBps) + ROOM;
    return said.wouldHaveFilled(percent(Math.ceil(least / 10) * 10));
  }
  return said.helps[order.failureCode] ?? "";
}

/** Return a name for a row, for those who do not see it. */
export const labelOf = (order, status) => [titleOf(order), words.type[order.type] ?? order.type, status, clock(order.createdAt)].join(", ");
