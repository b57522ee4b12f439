/** The order that was chosen, as a case file. */

export function start(desk) {
  void desk;
}
