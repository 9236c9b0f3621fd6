import assert from "node:assert/strict";
import { test } from "node:test";
import { catalogueOf, found, wordsOf } from "../src/catalogue.ts";
import { keyOf, type ComponentValues, type Value } from "../src/state.ts";
import type { Labels } from "../src/types.ts";

function value(metric: string, labels: Labels = {}, unit = ""): [string, Value] {
  const key = keyOf(metric, labels);
  return [key, { key, metric, labels, unit, value: 1, time: 1 }];
}

function component(category: string, ...values: [string, Value][]): ComponentValues {
  return { category, values: new Map(values) };
}

test("components come by category, then by name, and numbers in them count as numbers", () => {
  const values = new Map([
    ["shop-10", component("custom")], ["shop-9", component("custom")], ["ngrok", component("external")],
    ["zeta", component("system")],
  ]);

  assert.deepEqual(catalogueOf(values).map((group) => group.component), ["zeta", "ngrok", "shop-9", "shop-10"]);
});

test("series come by title, then by labels, and numbers in them count as numbers", () => {
  const values = [
    value("load15"), value("load5"), value("disk", { mount: "/b10" }), value("disk", { mount: "/b9" }), value("Cache"),
  ];
  const [group] = catalogueOf(new Map([["host", component("system", ...values)]]));

  assert.deepEqual(
    group?.entries.map(({ title, detail }) => `${title} ${detail}`.trim()),
    ["Cache", "Disk /b9", "Disk /b10", "Load 5 min", "Load 15 min"],
  );
});

test("a series is found by any words of its component, metric, title and labels", () => {
  const [group] = catalogueOf(new Map([["Shop", component("custom", value("queue_length", { host: "Web-1" }))]]));
  const [entry] = group?.entries ?? [];
  assert.ok(entry);

  for (const search of ["", "  ", "shop", "QUEUE length", "queue_l", "host=web-1", "1 shop"]) {
    assert.ok(found(entry, wordsOf(search)), search);
  }
  for (const search of ["web-2", "shop depth"]) assert.ok(!found(entry, wordsOf(search)), search);
});

test("what did not change is the same object in the next catalogue, and what did is new", () => {
  const make = (unit: string) => new Map([["shop", component("custom", value("a"), value("b", {}, unit))]]);
  const before = catalogueOf(make("ms"));
  const after = catalogueOf(make("seconds"), before);

  assert.equal(after[0]?.entries[0], before[0]?.entries[0]);
  assert.equal(after[0]?.entries[1]?.unit, "seconds");
});
