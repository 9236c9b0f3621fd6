/** History requests: one for all series of a metric, or one for each series that is drawn. */

import { get } from "./api.ts";
import type { Entry } from "./catalogue.ts";
import { CONDITIONS_MAX } from "./limits.ts";
import { merged, seriesOf, type Series } from "./series.ts";
import { keyOf, type Value } from "./state.ts";
import { asked, now } from "./store.ts";
import type { History } from "./types.ts";

const POINTS = 360;

/** The drawn series of a metric, and all of its series, if they differ. */
export interface Lines {
  drawn: readonly Entry[];
  of: readonly Entry[];
}

export async function readPast(
  component: string,
  metric: string,
  seconds: number,
  lines: Lines | undefined,
  known: ReadonlyMap<string, Value>,
  signal: AbortSignal,
): Promise<Series> {
  const query = questionOf(component, metric, seconds);
  const ask = (one: URLSearchParams) => asked(get<History>("/metrics/history", one, signal));
  if (!lines) return seriesOf(metric, await ask(query), known);
  const labels = new Set(lines.of.flatMap((entry) => Object.keys(entry.labels)));
  const answers = await Promise.all(
    lines.drawn.map(async (entry) => only(await ask(about(query, entry, labels)), metric, entry)),
  );
  return seriesOf(metric, merged(answers), known);
}

/** All requests use the same end, so that their buckets are equal. */
function questionOf(component: string, metric: string, seconds: number): URLSearchParams {
  const end = Math.ceil(now.peek());
  const query = new URLSearchParams({
    component, metric, start: String(end - seconds), end: String(end), points: String(POINTS),
  });
  query.append("agg", "avg");
  query.append("agg", "count");
  return query;
}

/** A label that only other series have is requested as empty, to exclude these series. */
function about(query: URLSearchParams, { labels }: Entry, names: ReadonlySet<string>): URLSearchParams {
  const own = Object.keys(labels);
  const others = [...names].filter((name) => !own.includes(name));
  const one = new URLSearchParams(query);
  for (const name of [...own, ...others].slice(0, CONDITIONS_MAX)) one.append(`label.${name}`, literal(labels[name] ?? ""));
  return one;
}

function only(past: History, metric: string, { key }: Entry): History {
  return { ...past, series: past.series.filter(({ labels }) => keyOf(metric, labels) === key) };
}

/** A value that starts with a tilde would be a pattern, so it is quoted as one. */
function literal(value: string): string {
  return value.startsWith("~") ? `~\\Q${value}\\E` : value;
}
