/** The range of the value axis, and the base of an area on it. Pure. */

/** The axis of percentages includes 0 and, for values up to 100, ends at 100. Without values, `least`
 * and `most` are null. */
export function percentRange(least: number | null, most: number | null): [number, number] {
  const [low, high] = [Math.min(least ?? 0, 0) * 1.1, Math.max(most ?? 1, 0) * 1.1];
  const top = (most ?? 1) <= 100 ? Math.min(high, 100) : high;
  // A line at 0 needs some space above it.
  return [low, low === 0 ? Math.max(top, 1) : top];
}

/** The base of an area is 0 or, if the axis does not include 0, the lower end of the axis. */
export function areaBase(min: number, max: number): number {
  return min <= 0 && max >= 0 ? 0 : min;
}
