/** The engine's state in the top bar: workers, what waits, how many may start. */

export function start(desk) {
  void desk;
}
