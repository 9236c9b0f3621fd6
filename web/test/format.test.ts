import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAge, formatDuration, formatUptime, formatValue, labelsText, titleOf } from "../src/format.ts";

const text = (formatted: string) => formatted.replaceAll("\u00a0", " ");

test("values are shown with their unit and no more digits than matter", () => {
  const expected: [number, string, string][] = [
    [61.625, "percent", "61.6 %"], [0, "percent", "0 %"], [0.125, "percent", "0.13 %"],
    [2.9384765625, "ms", "2.94 ms"], [512.4, "ms", "512 ms"], [1240, "ms", "1.24 s"],
    [0, "bytes", "0 B"], [1023, "bytes", "1,023 B"], [25276510208, "bytes", "23.5 GiB"], [-2048, "bytes", "−2 KiB"],
    [5355, "seconds", "1 h 29 min"], [40, "", "40"], [1.6640625, "", "1.66"], [12345678, "", "12,345,678"],
    [-1234.5, "usd", "−1,235 usd"], [1e21, "", "1.00e+21"], [1e-7, "", "1.00e−7"],
  ];
  for (const [value, unit, shown] of expected) assert.equal(text(formatValue(value, unit)), shown);
});

test("a duration shows its two largest parts", () => {
  const expected: [number, string][] = [
    [0, "0 s"], [0.25, "0.25 s"], [59, "59 s"], [60, "1 min"], [3599, "59 min 59 s"],
    [3600, "1 h"], [90_061, "1 d 1 h"], [-61, "−1 min 1 s"],
  ];
  for (const [seconds, shown] of expected) assert.equal(text(formatDuration(seconds)), shown);
});

test("an age counts in steps that a reader can follow", () => {
  assert.deepEqual([-3, 9, 19, 61, 3700].map((age) => text(formatAge(age))),
    ["just now", "just now", "10 s ago", "1 min ago", "1 h 1 min ago"]);
});

test("an uptime is cut and never rounded up to 100 %", () => {
  assert.deepEqual([99.999, 100, 0, null].map((uptime) => text(formatUptime(uptime))), ["99.99 %", "100 %", "0 %", "–"]);
});

test("a title leaves out what the component and the unit say", () => {
  assert.equal(titleOf("server_cpu_percent", "server", "system", "percent"), "CPU");
  assert.equal(titleOf("external_latency_ms", "binance", "external", "ms"), "Latency");
  assert.equal(titleOf("server_load15", "server", "system", ""), "Load 15 min");
  assert.equal(titleOf("trading", "trading", "trading", ""), "Trading");
  assert.equal(titleOf("_", "shop", "system", ""), "_");
});

test("one label is its value, several are pairs", () => {
  assert.equal(labelsText({}), "");
  assert.equal(labelsText({ mount: "/" }), "/");
  assert.equal(labelsText({ a: "1", b: "2" }), "a=1, b=2");
});
