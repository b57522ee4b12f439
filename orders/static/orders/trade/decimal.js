/** Exact sums of the API's decimals, which are texts: money is never a float where it is subtracted. */

const PLACES = 24;
const ONE = 10n ** BigInt(PLACES);

/** Return a decimal text as a whole number of 10^-24. */
export function units(text) {
  const [, sign, whole, , part = ""] = String(text).match(/^(-?)(\d*)(\.(\d*))?$/) ?? [];
  if (whole === undefined) return 0n;
  const value = BigInt(whole || "0") * ONE + BigInt((part + "0".repeat(PLACES)).slice(0, PLACES));
  return sign ? -value : value;
}

/** Return such a whole number as a decimal text. */
export function text(value) {
  const size = value < 0n ? -value : value;
  const part = String(size % ONE).padStart(PLACES, "0").replace(/0+$/, "");
  return `${value < 0n ? "-" : ""}${size / ONE}${part ? `.${part}` : ""}`;
}

export const difference = (one, other) => text(units(one) - units(other));

/** Return by how many hundredths of a percent `one` is above `other`. */
export function bpsAbove(one, other) {
  const base = units(other);
  return base === 0n ? null : Number(((units(one) - base) * 1_000_000n) / base) / 100;
}

/** Return one / other as a decimal text with 12 decimals. */
export function quotient(one, other) {
  const base = units(other);
  return base === 0n ? null : text(((units(one) * 10n ** 12n) / base) * 10n ** 12n);
}
