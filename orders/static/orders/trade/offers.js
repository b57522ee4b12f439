/** What the venues offer, as rows: the winner, who lost and by how much, who is out and why. Also used for stored decisions. */

import { amount, bps, number, percent, price } from "./format.js";
import { bpsAbove, difference, quotient } from "./decimal.js";
import { words } from "./words.js";

const MANY = 100; // bps, from which an impact is written in percent

/** Whether what comes out is fixed, so that the venues compete for the smaller input. */
export const isExactOut = ({ amountOut }) => amountOut !== null && amountOut !== undefined;

export const marketOf = ({ baseToken, quoteToken }) => `${baseToken}/${quoteToken}`;

/** The amount that venues compete for, and its token. */
export function counted(order, quote) {
  return isExactOut(order) ? [quote.amountIn, order.tokenIn] : [quote.amountOut, order.tokenOut];
}

/** Return the net price of a quote, in quote tokens per base token, as a decimal text. */
export function allIn({ side }, { amountIn, amountOut }) {
  return side === "sell" ? quotient(amountOut, amountIn) : quotient(amountIn, amountOut);
}

export const impactText = (impact) => (impact === undefined || impact === null ? "" : Number(impact) < MANY ? bps(impact) : percent(impact, 1));

/** Return by how many bps `one` is better than `other`: base is what the other would have given. */
export function better(order, one, other) {
  const [mine] = counted(order, one);
  const [theirs] = counted(order, other);
  const above = bpsAbove(mine, theirs);
  return above === null ? null : isExactOut(order) ? -above : above;
}

/** Return what a decision gains in money against the runner-up, of a split against the best single venue; null without one. */
export function gainOf(order, decision) {
  const other = decision.bestSingle ?? secondOf(order, decision);
  if (!other) return null;
  const [mine, token] = counted(order, decision.quote);
  const [theirs] = counted(order, other);
  const gain = isExactOut(order) ? difference(theirs, mine) : difference(mine, theirs);
  return { gain, token, bps: better(order, decision.quote, other), other };
}

function secondOf(order, { quote, quotes = [] }) {
  const others = quotes.filter((one) => !isSame(one, quote));
  return others.sort((one, other) => better(order, other, one))[0] ?? null;
}

const isSame = (one, other) => one.dex === other.dex && one.through === other.through && one.amountIn === other.amountIn && one.amountOut === other.amountOut;

export const isSplit = ({ legs = [], hops = [] }) => legs.length > 1 && !hops.length;

/** Return the rows of a decision, or of a failure; each `{key, label, net, unit, delta, small, state, share}`. */
export function rowsOf(order, decision, venues) {
  const rows = decision.quote && isSplit(decision) ? [splitRow(order, decision, venues)] : [];
  for (const quote of (decision.quotes ?? []).filter(({ through }) => through)) rows.push(quoteRow(order, quote, decision, venues));
  if (rows.some(({ isWay }) => isWay)) return rows;
  for (const name of Object.keys(venues)) {
    const quote = decision.quotes?.find(({ dex, through }) => dex === name && !through);
    const dropped = decision.dropped?.find(({ dex }) => dex === name);
    if (quote) rows.push(quoteRow(order, quote, decision, venues));
    else rows.push(outRow(name, dropped, venues));
  }
  return rows;
}

function quoteRow(order, quote, decision, venues) {
  const [net, token] = counted(order, quote);
  const isWon = !isSplit(decision) && isSame(quote, decision.quote);
  const behind = better(order, decision.quote, quote);
  const label = quote.through ? words.ticket.through(quote.through) : (venues[quote.dex] ?? quote.dex);
  const isOnly = (decision.quotes ?? []).length === 1 && !isSplit(decision);
  return {
    key: quote.through ? `through ${quote.through}` : quote.dex,
    isWay: Boolean(quote.through),
    label,
    net: amount(net, token),
    exact: net,
    unit: token,
    delta: isWon ? (isOnly ? words.ticket.only : words.ticket.best) : bps(-behind),
    small: (isSplit(decision) ? `${words.ticket.alone} · ` : "") + words.ticket.allIn(price(allIn(order, quote), marketOf(order)), number(quote.feeBps, 0), impactText(quote.priceImpactBps)),
    state: isWon ? "won" : "lost",
    share: Math.max(12, 100 - Math.max(0, behind ?? 0) * 0.55),
  };
}

function splitRow(order, decision, venues) {
  const [net, token] = counted(order, decision.quote);
  const gain = gainOf(order, decision);
  const parts = sharesOf(order, decision.legs).map(({ share, dex }) => words.ticket.share(share, venues[dex] ?? dex));
  const small = [gain ? words.ticket.onAlone(bps(gain.bps, { sign: true }), venues[gain.other.dex] ?? gain.other.dex) : "", words.ticket.together];
  return {
    key: "split",
    label: words.ticket.split(parts),
    net: amount(net, token),
    exact: net,
    unit: token,
    delta: words.ticket.best,
    small: small.filter(Boolean).join(" · "),
    state: "won",
    share: 100,
  };
}

/** Return each leg with its part of what is fixed, in percent. */
export function sharesOf(order, legs) {
  const fixed = (leg) => Number(isExactOut(order) ? leg.amountOut : leg.amountIn);
  const whole = legs.reduce((sum, leg) => sum + fixed(leg), 0);
  return legs.map((leg) => ({ ...leg, share: ((100 * fixed(leg)) / whole).toFixed(1) }));
}

function outRow(name, dropped, venues) {
  const text = words.ticket.out[dropped?.code] ?? words.ticket.out.any;
  return {
    key: name,
    label: venues[name],
    net: "",
    unit: "",
    delta: "",
    small: text,
    title: dropped?.reason,
    state: dropped?.code === "excluded" ? "excluded" : "out",
    share: 0,
  };
}

/** Return in a sentence why this decision: the gain in money, or who is alone. */
export function whyOf(order, decision, venues) {
  const found = gainOf(order, decision);
  const name = isSplit(decision)
    ? words.ticket.splitName
    : decision.quote.through
      ? words.ticket.through(decision.quote.through)
      : (venues[decision.quote.dex] ?? decision.quote.dex);
  if (!found) return words.ticket.onlyOne(name);
  const gain = `${amount(found.gain, found.token)} ${found.token}`;
  const by = bps(found.bps, { sign: true });
  return isExactOut(order) ? words.ticket.less(name, gain, by) : words.ticket.more(name, gain, by);
}
