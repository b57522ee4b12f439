/** What each type of order asks beside its amount, and how that is written for the API. */

const PERCENT = "percent";
const MOST_TRAIL = 5_000;

/** field: [where it stands in the body, kind, how near the market it is filled in, whether it may be empty] */
const limitPrice = (near) => ({ name: "limitPrice", kind: "price", near });
const triggerPrice = (near) => ({ name: "triggerPrice", kind: "price", near });

/** `near`: bps of the price, to the better; a stop is filled in on the worse side. */
export const TYPES = {
  market: { fields: [], slippage: [10, 50, 100], canExit: true },
  limit: { fields: [limitPrice(20)], rests: true, canExit: true },
  stop: { fields: [triggerPrice(-200)], slippage: [100, 300, 500], rests: true, canExit: true },
  stopLimit: { fields: [triggerPrice(-200), limitPrice(-250)], rests: true, canExit: true },
  takeProfit: { fields: [triggerPrice(200), { ...limitPrice(), label: "lastLimit", isOptional: true }], slippage: [10, 50, 100], rests: true },
  trailingStop: {
    fields: [
      { name: "trailBps", kind: PERCENT, label: "trail", preset: "3" },
      { name: "activationPrice", kind: "price", isOptional: true },
    ],
    slippage: [100, 300, 500],
    rests: true,
  },
  oco: {
    fields: [
      { name: "takeProfit.limitPrice", kind: "price", label: "target", near: 300 },
      { name: "stopLoss.triggerPrice", kind: "price", label: "stop", near: -300 },
    ],
    rests: true,
    onlyIn: true,
  },
  twap: {
    fields: [
      { name: "slices", kind: "count", preset: "12" },
      { name: "intervalSeconds", kind: "interval", label: "every", preset: "60" },
      { ...limitPrice(), label: "lastLimit", isOptional: true },
    ],
    slippage: [10, 50, 100],
    onlyIn: true,
    isSliced: true,
  },
};

/** What an entry may bring along once it is filled. */
export const EXITS = [
  { name: "takeProfit.limitPrice", kind: "price", label: "exitTarget", isOptional: true },
  { name: "stopLoss.triggerPrice", kind: "price", label: "exitStop", isOptional: true },
];

/** Whether the order's own limit price says what it tolerates, so that it takes no slippage. */
export function hasSlippage(type, values) {
  if (!TYPES[type].slippage) return false;
  return !(type === "takeProfit" && values.limitPrice);
}

/** Put a value where its name says: "stopLoss.triggerPrice" is a member of `stopLoss`. */
export function place(body, name, value) {
  const [outer, inner] = name.split(".");
  if (inner) body[outer] = { ...body[outer], [inner]: value };
  else body[outer] = value;
}

/** Whether the engine takes a trail of so many bps: above 100 in steps of 5, above 1000 of 50. */
export function isTrail(bps) {
  if (!Number.isInteger(bps) || bps < 1 || bps > MOST_TRAIL) return false;
  return bps <= 100 || (bps <= 1_000 ? bps % 5 === 0 : bps % 50 === 0);
}

/** Return a percentage as whole bps; null if it is none. */
export function bpsOf(percent) {
  const bps = Math.round(Number(percent) * 100);
  return Math.abs(bps - Number(percent) * 100) < 1e-6 ? bps : null;
}
