/** The chart: the market, both venues' net prices, fills and resting orders. */

export function start(desk) {
  void desk;
}
