/** The data of the chart: history from the API, and live values added to it. Pure. */

import { keyOf, type Value } from "./state.ts";
import type { History, Labels } from "./types.ts";

export interface Line {
  key: string;
  labels: Labels;
  averages: readonly (number | null)[];
  /** The number of samples in each average. */
  counts: readonly number[];
  /** The time of the newest sample included, in epoch seconds. */
  newest: number;
}

/** Columns of buckets; every line is as long as `times`. */
export interface Series {
  step_s: number;
  times: readonly number[];
  lines: readonly Line[];
}

/** `newest` has the values known before the request: the response certainly includes them. */
export function seriesOf(metric: string, past: History, newest: ReadonlyMap<string, Value>): Series {
  const lines = past.series.map(({ labels, values }) => {
    const key = keyOf(metric, labels);
    return {
      key,
      labels,
      averages: values.avg,
      counts: values.count.map((count) => count ?? 0),
      newest: newest.get(key)?.time ?? 0,
    };
  });
  return { step_s: past.step_s, times: past.time, lines };
}

/** Combine responses into one, in which every series has the buckets of all. */
export function merged(answers: readonly History[]): History {
  const time = [...new Set(answers.flatMap((answer) => answer.time))].sort((a, b) => a - b);
  const series = answers.flatMap((answer) => {
    const places = new Map(answer.time.map((at, place) => [at, place]));
    const spread = (column: (number | null)[]) => time.map((at) => column[places.get(at) ?? -1] ?? null);
    return answer.series.map(({ labels, values }) => ({
      labels,
      values: { avg: spread(values.avg), count: spread(values.count) },
    }));
  });
  return { step_s: answers[0]?.step_s ?? 1, time, series };
}

/** Add new samples to their buckets, and drop buckets before `from`. */
export function append(series: Series, values: readonly Value[], from: number): Series {
  const added = values.reduce(withValue, series);
  const first = added.times.filter((time) => time + added.step_s <= from).length;
  if (first === 0) return added;
  return {
    ...added,
    times: added.times.slice(first),
    lines: added.lines.map((line) => ({
      ...line,
      averages: line.averages.slice(first),
      counts: line.counts.slice(first),
    })),
  };
}

function withValue(series: Series, value: Value): Series {
  const known = series.lines.find((line) => line.key === value.key);
  const bucket = Math.floor(value.time / series.step_s) * series.step_s;
  const last = series.times.at(-1) ?? -Infinity;
  // Ignore a late sample of an older bucket: the next history request includes it.
  if ((known && value.time <= known.newest) || bucket < last) return series;
  const isNew = bucket > last;
  const times = isNew ? [...series.times, bucket] : series.times;
  const others = known ? series.lines : [...series.lines, emptyLine(value, series.times.length)];
  const lines = others.map((line) => {
    const wide = isNew ? widened(line) : line;
    return line.key === value.key ? counted(wide, value) : wide;
  });
  return { ...series, times, lines };
}

function emptyLine({ key, labels }: Value, length: number): Line {
  return {
    key,
    labels,
    averages: new Array<null>(length).fill(null),
    counts: new Array<number>(length).fill(0),
    newest: 0,
  };
}

function widened(line: Line): Line {
  return { ...line, averages: [...line.averages, null], counts: [...line.counts, 0] };
}

/** Add a sample to the average of the last bucket. */
function counted(line: Line, { value, time }: Value): Line {
  const count = line.counts.at(-1) ?? 0;
  const average = ((line.averages.at(-1) ?? 0) * count + value) / (count + 1);
  return {
    ...line,
    averages: [...line.averages.slice(0, -1), average],
    counts: [...line.counts.slice(0, -1), count + 1],
    newest: time,
  };
}
