/** What the axis of values spans, and where an area on it ends. Pure. */

/** Percent span zero, and need no room above a hundred. Without any value, both are null. */
export function percentRange(least: number | null, most: number | null): [number, number] {
  const [low, high] = [Math.min(least ?? 0, 0) * 1.1, Math.max(most ?? 1, 0) * 1.1];
  const top = (most ?? 1) <= 100 ? Math.min(high, 100) : high;
  // A line at zero needs some room above it.
  return [low, low === 0 ? Math.max(top, 1) : top];
}

/** An area ends at zero; where the axis does not reach it, at the lower edge. */
export function areaBase(min: number, max: number): number {
  return min <= 0 && max >= 0 ? 0 : min;
}
