/** How the reader's orders were executed in the last 24 hours. */

export function start(desk) {
  void desk;
}
