/** An order's route in words: what was asked of it, and who offered, was left out, or takes part. */

export const engine = JSON.parse(document.getElementById("engine").textContent);
const places = Object.keys(engine.venues);

/** Return the limits that an order, or what is about to be sent, sets for its route. */
export function limitsOf(order) {
  const allowed = places.filter((name) => isAllowed(order, name)).map((name) => engine.venues[name]);
  const impact = order.maxPriceImpactBps;
  return [
    allowed.length < places.length && (allowed.length ? `${allowed.join(" or ")} only` : "no venue"),
    impact !== undefined && `price impact at most ${impact} bps`,
  ].filter(Boolean).join(", ");
}

function isAllowed({ venues = places, excludeVenues = [] }, name) {
  return venues.includes(name) && !excludeVenues.includes(name);
}

/** Return a row for each venue before anything was decided; `waiting` is what it is doing. */
export function rowsBefore(order, waiting) {
  return places.map((name) =>
    isAllowed(order, name)
      ? { state: "asked", venue: engine.venues[name], net: waiting }
      : { state: "excluded", venue: engine.venues[name], net: "the order leaves it out" },
  );
}

/** Return the rows of a decision: a leg each of what was chosen, then what was not. */
export function rowsOf(order, { quotes, dropped, quote, legs = [], hops = [], marginBps }) {
  const isChosen = ({ dex, through }) =>
    through === quote.through && (hops.length || [quote, ...legs].some((leg) => leg.dex === dex));
  const rows = [
    ...(legs.length > 1 ? legs.map((leg) => legRow(order, leg, legs, hops)) : [winnerRow(order, quote, marginBps)]),
    ...quotes.filter((one) => !isChosen(one)).map((one) => quoteRow(order, one, "beaten")),
    ...dropped.filter((one) => !isChosen(one)).map(droppedRow),
  ];
  // Venues keep their places while a decision is made; hops follow each other.
  return hops.length ? rows : rows.sort((one, other) => places.indexOf(one.dex) - places.indexOf(other.dex));
}

function quoteRow(order, quote, state) {
  const { dex, through, price, feeBps } = quote;
  return {
    dex,
    state,
    venue: through ? `through ${through}` : labelOf(dex),
    price: `${price} − ${feeBps / 100} %`,
    net: counted(order, quote),
  };
}

function winnerRow(order, quote, marginBps) {
  return { ...quoteRow(order, quote, "winner"), margin: marginBps ? `+${marginBps} bps` : "only quote" };
}

function legRow(order, leg, legs, hops) {
  const [base, quote] = leg.market.split("/");
  const [tokenIn, tokenOut] = leg.side === "sell" ? [base, quote] : [quote, base];
  const row = quoteRow({ ...order, tokenIn, tokenOut }, leg, "winner");
  const hop = hops.findIndex(({ market }) => market === leg.market);
  return {
    ...row,
    venue: hop < 0 ? row.venue : `${hop + 1}. ${leg.market} at ${row.venue}`,
    margin: shareOf(order, leg, legs),
  };
}

/** A leg's part of what is fixed: of the whole order, or of its hop. */
function shareOf(order, leg, legs) {
  const amount = (one) => Number(isExactOut(order) ? one.amountOut : one.amountIn);
  const beside = legs.filter(({ market }) => market === leg.market);
  const whole = beside.reduce((sum, one) => sum + amount(one), 0);
  return beside.length > 1 ? `${((100 * amount(leg)) / whole).toFixed(1)} %` : "100 %";
}

function droppedRow({ dex, code, reason }) {
  return { dex, state: code === "excluded" ? "excluded" : "dropped", venue: labelOf(dex), net: reason };
}

const labelOf = (name) => engine.venues[name] ?? name;

export const isExactOut = (order) => order.amountOut !== null;

/** The amount that venues compete for: what arrives, or what it takes if that is fixed. */
export function counted(order, { amountIn, amountOut }) {
  return isExactOut(order) ? `${amountIn} ${order.tokenIn}` : `${amountOut} ${order.tokenOut}`;
}
