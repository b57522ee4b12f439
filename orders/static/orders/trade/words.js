/** Every text that the page's scripts show, in one place, so that it could be translated. Each panel has its own part. */

const orders = (count) => `${count} order${count === 1 ? "" : "s"}`;

export const words = {
  page: {
    name: "Order execution engine",
    zone: (zone) => `All times are your own (${zone}).`,
    theme: { light: "Light; press for dark", dark: "Dark; press for the system's", system: "As the system; press for the other" },
  },
  keys: {
    theme: "Light, dark, as the system",
    help: "This list",
    escape: "Close what is open",
    amount: "To the amount",
    sides: "Buy, sell",
    swap: "Turn the order round",
    send: "Send, from any field of the ticket",
    market: "Choose a market",
  },
  link: {
    live: () => "Live",
    reconnecting: (seconds) => (seconds ? `Reconnecting in ${seconds} s` : "Connecting"),
    offline: () => "Offline",
    loggedOut: () => "Logged out",
    told: {
      live: "The line is back.",
      reconnecting: "The line is lost. What you see is old.",
      offline: "You are offline. What you see is old.",
      loggedOut: "You are logged out.",
    },
  },
  banner: {
    offline: (count, at) =>
      `You are offline. ${count ? `The engine goes on with ${orders(count)}; they catch up from where they were, with no event missed.` : "Nothing is sent until you are back."} As of ${at}.`,
    lost: (count, at) => `The line to the engine is lost; it is being opened again. ${count ? `${orders(count)} under way go on all the same. ` : ""}As of ${at}.`,
    loggedOut: "Your session has ended. Log in again to see your orders; they go on all the same.",
    halted: "Trading is halted: new orders are refused. What was sent goes on, and what rests can be cancelled.",
    noWorker: ({ waiting, oldestSeconds }) =>
      `No worker answers. Orders are stored and wait${waiting ? `: ${waiting} now${oldestSeconds ? `, the oldest for ${Math.round(oldestSeconds)} s` : ""}` : ""}.`,
  },
  status: {
    open: "rests",
    pending: "pending",
    routing: "routing",
    building: "building",
    submitted: "submitted",
    confirmed: "confirmed",
    failed: "failed",
    cancelled: "cancelled",
    expired: "expired",
  },
  type: {
    market: "market",
    limit: "limit",
    stop: "stop",
    stopLimit: "stop limit",
    takeProfit: "take profit",
    trailingStop: "trailing stop",
    twap: "TWAP",
    sniper: "sniper",
    oco: "OCO",
  },
  ticket: {},
  vitals: {},
  market: {},
  quality: {},
  chart: {},
  blotter: {},
  drawer: {},
};
