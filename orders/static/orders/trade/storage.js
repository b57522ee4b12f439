/** What this browser keeps: the ids of its orders, and what was typed. Anybody may have written there, so it is checked. */

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const KEPT = 100; // ids that survive a reload
const IDS = "orders";

export function read(name, area = localStorage) {
  try {
    return JSON.parse(area.getItem(name));
  } catch {
    return null;
  }
}

export function keep(name, value, area = localStorage) {
  try {
    area.setItem(name, JSON.stringify(value));
  } catch {
    // Storage may be switched off; then a reload forgets.
  }
}

/** Return the ids of orders that were sent from here without an account, newest first. */
export function ownIds() {
  const ids = read(IDS);
  return Array.isArray(ids) ? ids.filter((id) => UUID.test(id)).slice(0, KEPT) : [];
}

export function keepIds(change) {
  keep(IDS, [...new Set(change(ownIds()))].slice(0, KEPT));
}

/** Have `tell(ids)` called when another tab has kept an id. */
export function onOtherTab(tell) {
  addEventListener("storage", ({ key }) => key === IDS && tell(ownIds()));
}
