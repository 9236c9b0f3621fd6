/** The chart's signals: what is chosen, its past from the API, and what is added live. */

import { computed, effect, signal } from "@preact/signals";
import { get } from "./api.ts";
import { append, seriesOf, type Series } from "./series.ts";
import { valuesOf } from "./state.ts";
import { asked, connections, now, onMessage, state } from "./store.ts";
import type { History, Message } from "./types.ts";

const POINTS = 360;
const PREFERRED = "server_cpu_percent";

export const RANGES = [
  { name: "1 h", long: "the last hour", seconds: 3_600 },
  { name: "6 h", long: "the last 6 hours", seconds: 21_600 },
  { name: "24 h", long: "the last 24 hours", seconds: 86_400 },
  { name: "7 d", long: "the last 7 days", seconds: 604_800 },
] as const;

export type Range = (typeof RANGES)[number];

export interface Choice {
  component: string;
  category: string;
  metric: string;
  unit: string;
}

export const range = signal<Range>(RANGES[0]);
export const series = signal<Series | undefined>(undefined);
export const problem = signal("");

const picked = signal("");

/** Every metric there is, once. */
export const choices = computed<Choice[]>((): Choice[] =>
  [...state.value.values].sort(([a], [b]) => a.localeCompare(b)).flatMap(([component, { category, values }]) => {
    const units = new Map([...values.values()].map(({ metric, unit }) => [metric, unit]));
    return [...units].sort().map(([metric, unit]) => ({ component, category, metric, unit }));
  }),
);

const chosenKey = computed(() => {
  const keys = choices.value.map(keyOfChoice);
  const preferred = choices.value.find(({ metric }) => metric === PREFERRED);
  return keys.includes(picked.value) ? picked.value : preferred ? keyOfChoice(preferred) : keys[0];
});

export const chosen = computed(() => choices.value.find((choice) => keyOfChoice(choice) === chosenKey.value));

export function keyOfChoice({ component, metric }: Choice): string {
  return JSON.stringify([component, metric]);
}

export function pick(key: string): void {
  picked.value = key;
}

/** Follow what is chosen; returns how to stop. */
export function follow(): () => void {
  onMessage(receive);
  let shown = "";
  return effect(() => {
    const key = chosenKey.value;
    const { seconds } = range.value;
    if (key === undefined || connections.value === 0) return;
    // After each connection what was missed is read again; the same chart stays until then.
    if (shown !== key + seconds) series.value = undefined;
    shown = key + seconds;
    const [component, metric] = JSON.parse(key) as [string, string];
    const abort = new AbortController();
    void read(component, metric, seconds, abort.signal);
    return () => abort.abort();
  });
}

async function read(component: string, metric: string, seconds: number, signal: AbortSignal): Promise<void> {
  const query = new URLSearchParams({ component, metric, start: `-${seconds}s`, points: String(POINTS) });
  query.append("agg", "avg");
  query.append("agg", "count");
  const known = state.peek().values.get(component)?.values ?? new Map();
  try {
    const past = await asked(get<History>("/metrics/history", query, signal));
    if (signal.aborted) return;
    series.value = catchUp(seriesOf(metric, past, known), component, metric);
    problem.value = "";
  } catch (error) {
    if (signal.aborted) return;
    series.value = undefined;
    problem.value = error instanceof Error ? error.message : String(error);
  }
}

/** Add what arrived while the answer was under way. */
function catchUp(past: Series, component: string, metric: string): Series {
  const values = [...(state.peek().values.get(component)?.values.values() ?? [])];
  return append(past, values.filter((value) => value.metric === metric), from());
}

function receive(message: Message): void {
  const choice = chosen.peek();
  const current = series.peek();
  if (message.type !== "metrics" || !choice || !current) return;
  const metrics = message.data.components[choice.component]?.metrics ?? {};
  const values = valuesOf(metrics).filter(({ metric }) => metric === choice.metric);
  series.value = append(current, values, from());
}

function from(): number {
  return now.peek() - range.peek().seconds;
}
