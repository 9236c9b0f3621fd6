import assert from "node:assert/strict";
import { test } from "node:test";
import { follow, series } from "../src/past.ts";
import type { Series } from "../src/series.ts";
import { receive } from "../src/store.ts";

function arrive(value: number): void {
  const time = new Date().toISOString();
  const metrics = { queue_length: { unit: "", value, time } };
  const data = { time, components: { shop: { category: "custom", metrics } } };
  receive({ type: "metrics", seq: 1, time, data });
}

test("a chart takes what arrives until it is gone, however often it was there before", () => {
  const past: Series = { step_s: 60, times: [Math.floor(Date.now() / 60_000) * 60 - 60], lines: [] };
  arrive(1);
  for (const _ of [1, 2, 3]) follow()();

  series.value = past;
  arrive(2);
  assert.equal(series.value, past);

  const stop = follow();
  arrive(3);
  assert.deepEqual(series.value.lines.map((line) => line.averages.at(-1)), [3]);
  stop();
});
