/** A time ago, which is updated by itself. */

import { formatAge, formatTime } from "./format.ts";
import { now } from "./store.ts";

export function Since({ time }: { time: string }) {
  const epoch = Date.parse(time) / 1000;
  return <time dateTime={time} title={formatTime(epoch)}>{formatAge(now.value - epoch)}</time>;
}
