/** The catalogue of all series in display order, and the search in it. Pure. */

import { labelsText, titleOf } from "./format.ts";
import type { ComponentValues } from "./state.ts";
import type { Labels } from "./types.ts";

/** A series without its values, which change far more often. */
export interface Entry {
  component: string;
  category: string;
  metric: string;
  labels: Labels;
  unit: string;
  /** The key of its value within its component. */
  key: string;
  title: string;
  detail: string;
  /** The text that a search looks at. */
  text: string;
  order: string;
}

/** The series of a component. */
export interface Group {
  component: string;
  category: string;
  entries: readonly Entry[];
}

const CATEGORIES = ["system", "database", "trading", "external", "security"];

export function catalogueOf(
  values: ReadonlyMap<string, ComponentValues>,
  before: readonly Group[] = [],
): readonly Group[] {
  const known = new Map(before.map((group) => [group.component, new Map(group.entries.map((entry) => [entry.key, entry]))]));
  return [...values]
    .map(([component, group]) => groupOf(component, group, known.get(component) ?? new Map()))
    .sort((a, b) => rank(a.category) - rank(b.category) || compare(orderOf(a.component), orderOf(b.component)));
}

/** The words of a search. A series matches if it contains all of them. */
export function wordsOf(search: string): readonly string[] {
  return search.toLowerCase().split(/\s+/).filter((word) => word !== "");
}

export function found(entry: Entry, words: readonly string[]): boolean {
  return words.every((word) => entry.text.includes(word));
}

/** Known entries are reused, so that one new series does not rebuild the entries of thousands. */
function groupOf(component: string, { category, values }: ComponentValues, known: ReadonlyMap<string, Entry>): Group {
  const entries = [...values.values()].map(({ key, metric, labels, unit }) => {
    const before = known.get(key);
    if (before?.unit === unit && before.category === category) return before;
    const title = titleOf(metric, component, category, unit);
    const detail = labelsText(labels);
    const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(" ");
    const text = `${component} ${metric} ${title} ${pairs}`.toLowerCase();
    return { component, category, metric, labels, unit, key, title, detail, text, order: orderOf(`${title}\n${detail}`) };
  });
  return { component, category, entries: entries.sort((a, b) => compare(a.order, b.order)) };
}

/** A sort key that orders numbers by value. Comparing such texts is 30 times as fast as a Collator. */
function orderOf(text: string): string {
  return text.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function rank(category: string): number {
  const place = CATEGORIES.indexOf(category);
  return place < 0 ? CATEGORIES.length : place;
}
