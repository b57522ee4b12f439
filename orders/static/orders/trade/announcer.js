/** Tells those who listen to the page: at most one sentence a second, several orders in one. */

const PAUSE = 1_000;

/** Return a function that has a text read out. */
export function announcer(place) {
  let waiting = [];
  let timer = null;
  const speak = () => {
    timer = null;
    if (!waiting.length) return;
    place.textContent = waiting.length > 2 ? `${waiting.length} orders: ${waiting.at(-1)}` : waiting.join(" ");
    waiting = [];
    timer = setTimeout(speak, PAUSE);
  };
  return (text) => {
    if (!waiting.includes(text)) waiting.push(text);
    if (!timer) speak();
  };
}
