/** The signals of the chart: the chosen metric, its history from the API, and live additions. */

import { computed, effect, signal } from "@preact/signals";
import { found, wordsOf, type Entry } from "./catalogue.ts";
import { readPast } from "./read_past.ts";
import { append, type Series } from "./series.ts";
import { valuesOf, type Value } from "./state.ts";
import { connections, groups, now, onMessage, state } from "./store.ts";
import type { Message } from "./types.ts";

export const LINES_MAX = 8;
/** How many metrics are in the list at once. A search finds the others. */
export const CHOICES_MAX = 100;
const PREFERRED = "server_cpu_percent";
/** The pause after typing before history is requested. */
const TYPING_MS = 300;

export const RANGES = [
  { name: "1 h", long: "the last hour", seconds: 3_600 },
  { name: "6 h", long: "the last 6 hours", seconds: 21_600 },
  { name: "24 h", long: "the last 24 hours", seconds: 86_400 },
  { name: "7 d", long: "the last 7 days", seconds: 604_800 },
] as const;

export type Range = (typeof RANGES)[number];

/** A metric of a component, with its series. */
export interface Choice {
  key: string;
  component: string;
  category: string;
  metric: string;
  unit: string;
  entries: readonly Entry[];
}

export const range = signal<Range>(RANGES[0]);
export const series = signal<Series | undefined>(undefined);
export const problem = signal("");
/** The text in the search field of the chart. */
export const search = signal("");

const picked = signal("");
const words = computed(() => wordsOf(search.value));

/** Every metric of every component. */
export const choices = computed<readonly Choice[]>(() =>
  [...groups.value]
    .sort((a, b) => a.component.localeCompare(b.component))
    .flatMap(({ component, category, entries }) => choicesOf(component, category, entries)),
);

/** The metrics with a series that matches the search. */
export const matching = computed(() =>
  words.value.length === 0 ? choices.value : choices.value.filter(({ entries }) => entries.some(isFound)),
);

export const chosen = computed(() => {
  const all = matching.value.length > 0 ? matching.value : choices.value;
  return all.find(({ key }) => key === picked.value) ?? all.find(({ metric }) => metric === PREFERRED) ?? all[0];
});

/** The series that are drawn: those of the metric that match the search, at most LINES_MAX. */
export const drawn = computed<readonly Entry[]>(() => {
  const entries = chosen.value?.entries ?? [];
  const wanted = entries.filter(isFound);
  return (wanted.length > 0 ? wanted : entries).slice(0, LINES_MAX);
});

const isAll = computed(() => drawn.value.length === chosen.value?.entries.length);

/** A key of the drawn series. When it changes, history is read again. */
const asking = computed(() => JSON.stringify([chosen.value?.key, isAll.value || drawn.value.map(({ key }) => key)]));

export function pick(key: string): void {
  picked.value = key;
}

/** Keep the chart up to date with the chosen metric; returns a function that stops it. */
export function follow(): () => void {
  const stopHearing = onMessage(receive);
  let shown = "";
  let connection = 0;
  const stopReading = effect(() => {
    const key = asking.value + range.value.seconds;
    const choice = chosen.peek();
    if (!choice || connections.value === 0) return;
    // After a reconnection history is read again. The old chart stays until it arrives.
    if (shown !== key) series.value = undefined;
    const delay_ms = shown !== "" && connection === connections.value && search.peek() !== "" ? TYPING_MS : 0;
    [shown, connection] = [key, connections.value];
    const abort = new AbortController();
    const timer = setTimeout(() => void read(choice, abort.signal), delay_ms);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  });
  return () => {
    stopHearing();
    stopReading();
  };
}

async function read(choice: Choice, signal: AbortSignal): Promise<void> {
  const { component, metric } = choice;
  const known = state.peek().values.get(component)?.values ?? new Map<string, Value>();
  try {
    const lines = isAll.peek() ? undefined : { drawn: drawn.peek(), of: choice.entries };
    const past = await readPast(component, metric, range.peek().seconds, lines, known, signal);
    if (signal.aborted) return;
    const values = [...(state.peek().values.get(component)?.values.values() ?? [])];
    // Add the values that arrived while the request was running.
    series.value = append(past, values.filter((value) => value.metric === metric && isDrawn(value)), from());
    problem.value = "";
  } catch (error) {
    if (signal.aborted) return;
    series.value = undefined;
    problem.value = error instanceof Error ? error.message : String(error);
  }
}

function receive(message: Message): void {
  const choice = chosen.peek();
  const current = series.peek();
  if (message.type !== "metrics" || !choice || !current) return;
  const now = message.data.components[choice.component]?.metrics[choice.metric];
  if (!now) return;
  series.value = append(current, valuesOf({ [choice.metric]: now }).filter(isDrawn), from());
}

function choicesOf(component: string, category: string, entries: readonly Entry[]): Choice[] {
  const metrics = new Map<string, Entry[]>();
  for (const entry of entries) {
    const known = metrics.get(entry.metric);
    if (known) known.push(entry);
    else metrics.set(entry.metric, [entry]);
  }
  return [...metrics].sort(([a], [b]) => (a < b ? -1 : 1)).map(([metric, own]) => ({
    key: JSON.stringify([component, metric]), component, category, metric, unit: own[0]?.unit ?? "", entries: own,
  }));
}

function isFound(entry: Entry): boolean {
  return found(entry, words.value);
}

function isDrawn({ key }: Value): boolean {
  return drawn.peek().some((entry) => entry.key === key);
}

function from(): number {
  return now.peek() - range.peek().seconds;
}
