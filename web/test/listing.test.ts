import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry, Group } from "../src/catalogue.ts";
import { listingOf, ROWS_MAX, type Steps } from "../src/listing.ts";

const NONE: Steps = { groups: new Map(), page: 0 };

/** A component with so many series of each metric. */
function group(component: string, ...counts: number[]): Group {
  const entries = counts.flatMap((count, metric) => Array.from({ length: count }, (_, number): Entry => ({
    component, category: "", metric: `m${metric}`, labels: {}, unit: "", key: `m${metric} ${number}`,
    title: "", detail: "", text: `${component} m${metric} ${number}`, order: "",
  })));
  return { component, category: "", entries };
}

function counts(groups: Group[], steps = NONE, words: string[] = []): number[] {
  return listingOf(groups, words, steps).groups.map(({ entries }) => entries.length);
}

test("few series are all shown, whatever their metrics", () => {
  assert.deepEqual(counts([group("a", 40, 20), group("b", 1)]), [60, 1]);
});

test("of many series of one metric a few are shown, and every other metric beside them", () => {
  const { groups } = listingOf([group("a", 11_000, 5)], [], NONE);

  assert.deepEqual(groups.map(({ entries, total }) => [entries.length, total]), [[17, 11_005]]);
});

test("more of a component leaves the other components as they are", () => {
  const all = [group("a", 11_000), group("b", 11_000)];

  assert.deepEqual(counts(all, { page: 0, groups: new Map([["a", 1]]) }), [60, 12]);
  assert.deepEqual(counts(all, { page: 0, groups: new Map([["a", 3]]) }), [180, 12]);
  assert.deepEqual(counts(all, { page: 0, groups: new Map([["a", 100]]) }), [ROWS_MAX - 12, 12]);
});

test("of many components a few are shown, and never more values than the page has room for", () => {
  const small = Array.from({ length: 11_000 }, (_, number) => group(`c${number}`, 1));
  const large = Array.from({ length: 20 }, (_, number) => group(`c${number}`, ...new Array(60).fill(1)));

  assert.equal(counts(small).length, 40);
  assert.equal(counts(small, { page: 2, groups: new Map() }).length, 120);
  assert.equal(listingOf(small, [], NONE).components, 11_000);
  assert.deepEqual(counts(large), [60, 60, 60, 60]);
  for (const page of [1, 50]) {
    for (const all of [small, large]) {
      const steps = { page, groups: new Map(all.map(({ component }) => [component, 9])) };
      const shown = counts(all, steps).reduce((sum, count) => sum + count, 0);
      assert.ok(shown <= ROWS_MAX);
      assert.equal(listingOf(all, [], steps).isFull, shown === ROWS_MAX);
    }
  }
});

test("a search counts what it finds, and the status is no value", () => {
  const status: Entry = { ...(group("a", 1).entries[0] as Entry), metric: "component_up" };
  const all = [{ ...group("a", 3), entries: [...group("a", 3).entries, status] }, group("b", 3)];

  assert.equal(listingOf(all, [], NONE).total, 6);
  const { groups, total, components } = listingOf(all, ["b", "2"], NONE);
  assert.deepEqual([groups.length, total, components], [1, 1, 1]);
});
