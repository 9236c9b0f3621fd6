/** How long to wait before the next attempt to connect. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/** Twice as long each time, and spread, so that all clients of a restarted service do not come at once. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(FIRST_MS * 2 ** attempt, LONGEST_MS);
  return ceiling / 2 + (ceiling / 2) * random();
}
