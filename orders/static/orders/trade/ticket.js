/** The ticket: what to do, what it will bring, and who offers what, before anything is sent. */

export function start(desk) {
  void desk;
}
