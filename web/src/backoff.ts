/** The delay before the next attempt to connect. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/** Doubles with each attempt, and is random so that clients do not reconnect all at once. In ms. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(FIRST_MS * 2 ** attempt, LONGEST_MS);
  return ceiling / 2 + (ceiling / 2) * random();
}
