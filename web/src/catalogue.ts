/** Every series that the page knows, in the order it is shown in, and how one is found. Pure. */

import { labelsText, titleOf } from "./format.ts";
import type { ComponentValues } from "./state.ts";
import type { Labels } from "./types.ts";

/** A series but for its values, which change far more often. */
export interface Entry {
  component: string;
  category: string;
  metric: string;
  labels: Labels;
  unit: string;
  /** Of its value, within its component. */
  key: string;
  title: string;
  detail: string;
  /** What a search looks at. */
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

/** The words of a search: a series is found when it has every one of them. */
export function wordsOf(search: string): readonly string[] {
  return search.toLowerCase().split(/\s+/).filter((word) => word !== "");
}

export function found(entry: Entry, words: readonly string[]): boolean {
  return words.every((word) => entry.text.includes(word));
}

/** What is known of a series stays as it is: thousands of them are not described anew for one that came. */
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

/** Compared as plain texts, numbers follow each other as numbers; a Collator is thirty times as slow. */
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
