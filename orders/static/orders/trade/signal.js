/** A value that several panels look at: `tell` is called at once, and whenever it changes. */

export function signal(value) {
  const told = new Set();
  return {
    get value() {
      return value;
    },
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const tell of told) tell(value);
    },
    /** Returns a function that ends it. */
    subscribe(tell) {
      told.add(tell);
      tell(value);
      return () => told.delete(tell);
    },
  };
}
