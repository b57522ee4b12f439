/** What an order's events tell of its way: how far it came, what each step took, its attempts. */

export const STEPS = ["pending", "routing", "building", "submitted", "confirmed"];
const ENDED = new Set(["confirmed", "failed", "cancelled", "expired"]);

export const isOver = (order) => ENDED.has(order.status);
export const isUnderWay = (order) => !isOver(order) && order.status !== "open";
export const isExactOut = (order) => order.amountOut !== null && order.amountOut !== undefined;
export const marketOf = ({ baseToken, quoteToken }) => `${baseToken}/${quoteToken}`;
export const eventsOf = (order) => [...(order.events?.values() ?? [])].sort((one, other) => one.seq - other.seq);

/** Return the place among STEPS at which an order is, or the one behind the last that any attempt came to. */
export function placeOf(order) {
  const place = STEPS.indexOf(order.status);
  if (place >= 0) return place;
  return Math.min(STEPS.length - 1, lastReached(order) + 1);
}

function lastReached(order) {
  if (order.isWhole) return Math.max(0, ...eventsOf(order).map(({ status }) => STEPS.indexOf(status)));
  if (order.status === "failed") return order.txHash ? 3 : order.minAmountOut || order.maxAmountIn ? 2 : 1;
  return order.startedAt ? 1 : 0;
}

/** Return the time at which an order came to its present status, in milliseconds. */
export function sinceOf(order) {
  const last = eventsOf(order).at(-1);
  return Date.parse(last?.seq === order.seq ? last.timestamp : (order.startedAt ?? order.createdAt));
}

/** Return how long an order took, or has taken so far; null for one that rests, or is not over. */
export function tookOf(order, now = Date.now()) {
  const begin = Date.parse(order.triggeredAt && order.type !== "twap" ? order.triggeredAt : order.createdAt);
  if (order.status === "open") return null;
  return (order.finishedAt ? Date.parse(order.finishedAt) : now) - begin;
}

/**
 * Return the attempts that the events tell of: `{number, events, decision, fault, filled}`, oldest first.
 * What is not of an attempt (accepted, amended, cancelled) belongs to none.
 */
export function attemptsOf(order) {
  const found = new Map();
  for (const event of eventsOf(order)) {
    if (!event.attempt) continue;
    const attempt = found.get(event.attempt) ?? { number: event.attempt, events: [], decision: null, fault: null };
    found.set(event.attempt, attempt);
    attempt.events.push(event);
    if (event.status === "building") attempt.decision = event.data;
    if (event.event === "triggered" || event.event === "released") continue;
    const fault = event.data.failureCode ? event.data : event.data.details;
    if (fault?.failureCode) attempt.fault = fault;
    if (fault?.decision) attempt.decision ??= fault.decision;
  }
  return [...found.values()];
}

/** Return for each step how many milliseconds an order spent in it, all its attempts together. */
export function timesOf(order, now = Date.now()) {
  const events = eventsOf(order);
  const sums = { pending: 0, routing: 0, building: 0, submitted: 0, open: 0 };
  events.forEach(({ status, timestamp }, place) => {
    if (!(status in sums)) return;
    const end = events[place + 1] ? Date.parse(events[place + 1].timestamp) : isOver(order) ? Date.parse(timestamp) : now;
    sums[status] += Math.max(0, end - Date.parse(timestamp));
  });
  return sums;
}

/** Return the price that an order waits for, on which line, and on which side of it; null if it waits for none. */
export function goalOf({ type, side, limitPrice, triggerPrice, currentTriggerPrice, activationPrice, triggerBy, phase, triggeredAt }) {
  const isSale = side === "sell";
  const isLimit = type === "limit" || phase === "limit" || (Boolean(triggeredAt) && Boolean(limitPrice));
  const isUnarmed = phase === "unarmed";
  const price = isLimit ? limitPrice : isUnarmed ? activationPrice : (currentTriggerPrice ?? triggerPrice);
  if (!price || (triggeredAt && !isLimit)) return null;
  const line = triggerBy === "reference" && !isLimit ? "reference" : isSale ? "bid" : "ask";
  const isUp = isLimit || isUnarmed || type === "takeProfit" ? isSale : !isSale;
  return { price, line, isUp };
}

/** Return how far a market has to go to reach a goal, in percent of it: −6.31 is below. Null: no fresh price. */
export function distanceOf({ price, line }, prices) {
  const now = Number(prices[line]);
  return now ? ((Number(price) - now) / now) * 100 : null;
}

/** Return how many basis points a fill is better than a quote, seen from the order. */
export function betterBps(order, filled, offered) {
  const name = isExactOut(order) ? "amountIn" : "amountOut";
  const [got, quote] = [Number(filled?.[name]), Number(offered?.[name])];
  return got && quote ? ((got - quote) / quote) * 1e4 * (isExactOut(order) ? -1 : 1) : null;
}

export const fillOf = ({ executedAmountIn, executedAmountOut }) =>
  executedAmountIn && executedAmountOut ? { amountIn: executedAmountIn, amountOut: executedAmountOut } : null;

/** Return the offer that a fill is compared with: what the runner-up offered; of a split, the best single venue. */
export function otherOffer(decision) {
  if (!decision) return null;
  if (decision.bestSingle) return decision.bestSingle;
  const isSame = (one) => one.dex === decision.quote.dex && one.through === decision.quote.through;
  const others = decision.quotes.filter((one) => !isSame(one));
  return others.find(({ dex }) => dex === decision.runnerUp) ?? others[0] ?? null;
}

/** Return the bps against the quote and against the other venue: as the API tells, else from what is known here. */
export function gainsOf(order) {
  const { decision } = order;
  const fill = fillOf(order);
  const quote = order.vsQuoteBps ?? (fill && decision ? betterBps(order, fill, decision.quote) : null);
  const other = order.vsOtherBps ?? (fill && decision ? betterBps(order, fill, otherOffer(decision)) : null);
  return { quote, other };
}
