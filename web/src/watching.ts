/** Which series the service sends: of many, those that are on the page. */

import { computed, effect } from "@preact/signals";
import { foremost } from "./components.tsx";
import { SUBSCRIBED_SERIES_MAX } from "./limits.ts";
import { drawn } from "./past.ts";
import { connections, groups, refresh, state, subscribe } from "./store.ts";
import type { SeriesName } from "./types.ts";
import { listing } from "./values.tsx";

/** Somebody who types or asks for more is not followed step by step. */
const PAUSE_MS = 200;
/** How often the page asks whether there are other series. */
const REFRESH_MS = 60_000;

/** Fewer series are all sent, those that are new included. */
const isSelective = computed(
  () => state.value.isComplete && groups.value.reduce((sum, { entries }) => sum + entries.length, 0) > SUBSCRIBED_SERIES_MAX,
);

const watched = computed<readonly SeriesName[] | undefined>(() => {
  if (!isSelective.value) return undefined;
  const shown = [...drawn.value, ...foremost.value, ...listing.value.groups.flatMap(({ entries }) => entries)];
  const names = shown.map(({ component, metric, labels }) => ({ component, metric, labels }));
  return [...new Map(names.map((name) => [JSON.stringify(name), name])).values()];
});

/** Follow what is on the page; returns how to stop. */
export function watch(): () => void {
  const stopSubscribing = effect(() => {
    const series = watched.value;
    const timer = setTimeout(() => subscribe(series), PAUSE_MS);
    return () => clearTimeout(timer);
  });
  let isFirst = true;
  const stopRefreshing = effect(() => {
    if (!isSelective.value || connections.value === 0) return;
    // The first state told of everything; after a break nobody did.
    const stop = refreshAgain(!isFirst);
    isFirst = false;
    return stop;
  });
  return () => {
    stopSubscribing();
    stopRefreshing();
  };
}

/** Values of other series do not arrive, nor do series that are new: they are asked for now and then. */
function refreshAgain(isDue: boolean): () => void {
  const abort = new AbortController();
  const ask = () => {
    // One that fails is made up for by the next.
    if (!document.hidden) refresh(abort.signal).catch(() => undefined);
  };
  if (isDue) ask();
  const timer = setInterval(ask, REFRESH_MS);
  return () => {
    clearInterval(timer);
    abort.abort();
  };
}
