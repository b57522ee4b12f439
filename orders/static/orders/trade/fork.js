/** Who offered what: one lane for each venue, hops one after the other within the winner's, and why the winner won. */

import { el } from "./dom.js";
import { amount, bps, exact, number, price as priceText } from "./format.js";
import { betterBps, isExactOut, marketOf, otherOffer } from "./way.js";
import { givenOf, grouped } from "./wording.js";
import { words } from "./words.js";

const said = words.drawer;

/** Return the drawing of a decision, or of what was dropped where none was made. */
export function drawFork(order, decision, dropped, venues) {
  const ends = endsOf(order);
  const lanes = decision ? lanesOf(order, decision, venues) : [];
  const out = (decision?.dropped ?? dropped ?? []).filter(({ dex }) => !lanes.some((lane) => lane.dex === dex)).map((one) => droppedLane(one, venues));
  const all = [...lanes, ...out];
  if (!all.length) return null;
  return el("div", { class: "fork", "data-broken": !decision },
    el("span", { class: "end", text: ends[0] }), el("ul", {}, ...all.map(drawLane)), el("span", { class: "end", text: ends[1] }));
}

function endsOf(order) {
  return [givenOf(order.amountIn, order.tokenIn), givenOf(order.amountOut, order.tokenOut)];
}

/** Return the lanes, in the venues' own order: while an order is under way they keep their places. */
function lanesOf(order, decision, venues) {
  const { quote, quotes, legs = [], hops = [], marginBps } = decision;
  const isChosen = ({ dex, through }) => through === quote.through && (hops.length || [quote, ...legs].some((leg) => leg.dex === dex));
  const beaten = quotes.filter((one) => !isChosen(one)).map((one) => quoteLane(order, one, venues, decision));
  if (hops.length) return [hopsLane(order, decision, venues), ...beaten];
  const won = legs.length > 1
    ? legs.map((leg) => ({ ...quoteLane(order, leg, venues), isWinner: true, em: shareOf(order, leg, legs) }))
    : [{ ...quoteLane(order, quote, venues), isWinner: true, em: marginBps ? `+${number(marginBps, 2)} bps` : said.only }];
  const names = Object.keys(venues);
  return [...won, ...beaten].sort((one, other) => names.indexOf(one.dex) - names.indexOf(other.dex));
}

function quoteLane(order, one, venues) {
  const { dex, through, price, feeBps, priceImpactBps } = one;
  return {
    dex,
    name: through ? said.through(through) : (venues[dex] ?? dex),
    net: netOf(order, one),
    small: said.priceLessFee(priceText(price, one.market ?? marketOf(order)), feeBps),
    title: [said.priceBefore(price), said.feeOf(feeBps), priceImpactBps ? said.impactOf(priceImpactBps) : ""].filter(Boolean).join(", "),
  };
}

const netOf = (order, { amountIn, amountOut }) => exact(isExactOut(order) ? amountIn : amountOut);

/** Two hops are one lane: what the first pays out goes into the second. */
function hopsLane(order, { quote, legs, hops, marginBps }, venues) {
  return {
    dex: quote.dex,
    name: said.twoHops(quote.through),
    net: netOf(order, quote),
    isWinner: true,
    em: marginBps ? `+${number(marginBps, 2)} bps` : said.only,
    hops: hops.map((hop) => {
      const own = legs.filter(({ market }) => market === hop.market);
      const names = [...new Set(own.map(({ dex }) => venues[dex] ?? dex))].join(" + ");
      const [base, second] = hop.market.split("/");
      const [from, to] = hop.side === "sell" ? [base, second] : [second, base];
      return { name: `${from} → ${to}`, at: names, net: `${amount(hop.quote.amountOut, to)} ${to}`, exact: exact(hop.quote.amountOut) };
    }),
  };
}

/** Return a leg's part of what is fixed. */
function shareOf(order, leg, legs) {
  const fixed = (one) => Number(isExactOut(order) ? one.amountOut : one.amountIn);
  const whole = legs.reduce((sum, one) => sum + fixed(one), 0);
  return `${((100 * fixed(leg)) / whole).toFixed(1)} %`;
}

const droppedLane = ({ dex, code, reason }, venues) => ({ dex, name: venues[dex] ?? dex, isOut: true, small: reason, title: code, state: said.out[code] ?? said.outElse });

function drawLane({ name, net, small, title, em, isWinner, isOut, state, hops }) {
  return el("li", { "data-won": isWinner ? "true" : isOut ? null : "false", "data-out": isOut ? "true" : null },
    el("b", { text: name }), el("span", { class: "net", text: net ?? state }),
    hops
      ? el("ol", { class: "hops" }, ...hops.map((hop) => el("li", {}, el("b", { text: hop.name }), el("span", { class: "net", text: hop.net, title: hop.exact }), el("span", { text: hop.at }))))
      : el("small", { text: small, title: title || small }),
    em ? el("em", { text: em }) : null);
}

/** Return the heading: "Why Meteora". */
export function whyOf(order, decision, venues) {
  if (!decision) return said.noRoute;
  const { hops = [], legs = [], quote } = decision;
  const names = [...new Set(legs.map(({ dex }) => venues[dex] ?? dex))];
  if (hops.length) return said.whyHops(quote.through);
  return names.length > 1 ? said.whySplit(names) : said.why(venues[quote.dex] ?? quote.dex);
}

/** Return the reason as a sentence, and of a split by how much it is better than the best single venue. */
export function reasonOf({ reason, splitGainBps, bestSingle }, venues) {
  const sentence = words.sentence(grouped(reason ?? ""));
  const gain = splitGainBps && bestSingle ? said.splitGain(bps(splitGainBps, { sign: true }), venues[bestSingle.dex] ?? bestSingle.dex) : "";
  return [sentence, gain].filter(Boolean).join(" ");
}

/** Return what the other venue would have given, by name: for the fact "Against Raydium". */
export function otherName(order, venues) {
  const offer = otherOffer(order.decision);
  if (offer?.through) return said.way(offer.through);
  return venues[order.otherVenue ?? offer?.dex] ?? null;
}

/** Place a fill on a line from the bound (0) over the quote (50) to as much better again (100). */
export function scaleOf(order, decision, fill) {
  const name = isExactOut(order) ? "amountIn" : "amountOut";
  const bound = Number(isExactOut(order) ? (decision.maxAmountIn ?? order.maxAmountIn) : (decision.minAmountOut ?? order.minAmountOut));
  const quote = Number(decision.quote[name]);
  if (!fill) return { bound, quote, got: null, place: null, gain: null };
  const got = Number(fill[name]);
  const place = quote === bound ? 50 : ((got - bound) / (quote - bound)) * 50;
  return { bound, quote, got, place: Math.max(0, Math.min(100, place)), gain: betterBps(order, fill, decision.quote) };
}
