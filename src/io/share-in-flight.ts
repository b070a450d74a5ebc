/** Work that several callers may ask for at once, and that is done once for all of them. */

/** Returns a function that starts `work`, or returns the promise of the call that has not ended yet. */
export function shareInFlight<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    running ??= work().finally(() => {
      running = undefined;
    });
    return running;
  };
}
