import assert from "node:assert/strict";
import { test } from "node:test";
import { append, merged, seriesOf, type Series } from "../src/series.ts";
import { keyOf, type Value } from "../src/state.ts";

function value(time: number, amount: number, labels = {}): Value {
  return { key: keyOf("m", labels), metric: "m", labels, unit: "", value: amount, time };
}

const past: Series = seriesOf(
  "m",
  { step_s: 60, time: [0, 60], series: [{ labels: {}, values: { avg: [1, 2], count: [4, 3] } }] },
  new Map([[keyOf("m", {}), value(100, 2)]]),
);

test("a new sample moves the average of its bucket", () => {
  const { times, lines } = append(past, [value(119, 6)], 0);

  assert.deepEqual(times, [0, 60]);
  assert.deepEqual(lines[0]?.averages, [1, 3]);
});

test("a sample that the past held is not counted again, and a late one neither", () => {
  assert.equal(append(past, [value(100, 9), value(30, 9)], 0), past);
});

test("a new bucket begins with its first sample, for every line", () => {
  const { times, lines } = append(past, [value(120, 7), value(130, 5, { a: "b" })], 0);

  assert.deepEqual(times, [0, 60, 120]);
  assert.deepEqual(lines.map((line) => line.averages), [[1, 2, 7], [null, null, 5]]);
});

test("what is older than the range is dropped, even all of it", () => {
  assert.deepEqual(append(past, [], 61).times, [60]);
  assert.deepEqual(append(past, [value(1000, 1)], 500).lines[0]?.averages, [1]);
  assert.deepEqual(append(past, [], 500).times, []);
});

test("an empty past takes its first sample", () => {
  const empty = seriesOf("m", { step_s: 15, time: [], series: [] }, new Map());

  assert.deepEqual(append(empty, [value(31, 4)], 0).times, [30]);
});

test("answers about one series each become one, with the buckets of all", () => {
  const answer = (time: number[], ...avg: number[]) =>
    ({ step_s: 60, time, series: [{ labels: { n: String(avg[0]) }, values: { avg, count: avg } }] });
  const { step_s, time, series } = merged([answer([0, 60], 1, 2), answer([60, 120], 3, 4), { ...answer([0], 5), series: [] }]);

  assert.deepEqual([step_s, time], [60, [0, 60, 120]]);
  assert.deepEqual(series.map(({ values }) => values.avg), [[1, 2, null], [null, 3, 4]]);
  assert.deepEqual(merged([]).series, []);
});
