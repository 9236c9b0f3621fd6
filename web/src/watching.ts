/** Subscribes to the series on the page if there are too many to receive all. */

import { computed, effect } from "@preact/signals";
import { foremost } from "./components.tsx";
import { SUBSCRIBED_SERIES_MAX } from "./limits.ts";
import { drawn } from "./past.ts";
import { connections, groups, refresh, state, subscribe } from "./store.ts";
import type { SeriesName } from "./types.ts";
import { listing } from "./values.tsx";

/** The pause after a change of the page before the subscription changes. */
const PAUSE_MS = 200;
/** How often the page looks for added and removed series. */
const REFRESH_MS = 60_000;

/** Up to this limit the page receives all series, including new ones. */
const isSelective = computed(
  () => state.value.isComplete && groups.value.reduce((sum, { entries }) => sum + entries.length, 0) > SUBSCRIBED_SERIES_MAX,
);

const watched = computed<readonly SeriesName[] | undefined>(() => {
  if (!isSelective.value) return undefined;
  const shown = [...drawn.value, ...foremost.value, ...listing.value.groups.flatMap(({ entries }) => entries)];
  const names = shown.map(({ component, metric, labels }) => ({ component, metric, labels }));
  return [...new Map(names.map((name) => [JSON.stringify(name), name])).values()];
});

/** Keep the subscription up to date with the page; returns a function that stops it. */
export function watch(): () => void {
  const stopSubscribing = effect(() => {
    const series = watched.value;
    const timer = setTimeout(() => subscribe(series), PAUSE_MS);
    return () => clearTimeout(timer);
  });
  let isFirst = true;
  const stopRefreshing = effect(() => {
    if (!isSelective.value || connections.value === 0) return;
    // The first state contains all series. After an interruption they have to be requested.
    const stop = refreshAgain(!isFirst);
    isFirst = false;
    return stop;
  });
  return () => {
    stopSubscribing();
    stopRefreshing();
  };
}

/** A selective subscription delivers no other and no new series, so request all at intervals. */
function refreshAgain(isDue: boolean): () => void {
  const abort = new AbortController();
  const ask = () => {
    // Ignore a failure: the next request makes up for it.
    if (!document.hidden) refresh(abort.signal).catch(() => undefined);
  };
  if (isDue) ask();
  const timer = setInterval(ask, REFRESH_MS);
  return () => {
    clearInterval(timer);
    abort.abort();
  };
}
