/** The market panel: the price, and what each venue nets for the ticket's amount. */

export function start(desk) {
  void desk;
}
