/** Selects which of many series are shown at once. Pure. */

import { found, type Entry, type Group } from "./catalogue.ts";

/** Most values on the page: in all, and before the first "Show more". */
export const ROWS_MAX = 400;
const ROWS = 240;
/** How many components are shown at first, and added by each "Show more". */
const GROUPS = 40;
/** How many values of a component are shown at first, and added by each "Show more". */
const GROUP_ROWS = 60;
/** How many series of one metric are shown at first in a large component, so that others fit too. */
const METRIC_ROWS = 12;
/** Not listed, because the page shows it as the status. */
const STATUS = "component_up";

/** How often "Show more" was used: in each component, and for components. */
export interface Steps {
  groups: ReadonlyMap<string, number>;
  page: number;
}

export interface Shown {
  component: string;
  entries: readonly Entry[];
  total: number;
}

export interface Listing {
  groups: readonly Shown[];
  /** The number of all matching components, shown or not. */
  components: number;
  /** The number of all matching series, shown or not. */
  total: number;
  /** Whether the page shows as many values as it can. */
  isFull: boolean;
}

export function listingOf(groups: readonly Group[], words: readonly string[], steps: Steps): Listing {
  const matching = groups
    .map(({ component, entries }) => ({ component, entries: entries.filter((entry) => isListed(entry, words)) }))
    .filter(({ entries }) => entries.length > 0);
  const offered = matching.slice(0, GROUPS * (1 + steps.page));
  const first = firstRows(offered, Math.min(ROWS * (1 + steps.page), ROWS_MAX));
  let left = ROWS_MAX - first.reduce((sum, rows) => sum + rows.length, 0);
  const shown = first.map((rows, place) => {
    const { component = "", entries = [] } = matching[place] ?? {};
    const more = extended(rows, entries, steps.groups.get(component) ?? 0, left);
    left -= more.length - rows.length;
    return { component, entries: more, total: entries.length };
  });
  const total = matching.reduce((sum, { entries }) => sum + entries.length, 0);
  return { groups: shown, components: matching.length, total, isFull: left <= 0 };
}

/** The first rows of as many components as fit. */
function firstRows(groups: readonly { entries: readonly Entry[] }[], room: number): Entry[][] {
  const rows: Entry[][] = [];
  let left = room;
  for (const { entries } of groups) {
    if (left <= 0) break;
    const ofMetric = entries.length > GROUP_ROWS ? METRIC_ROWS : GROUP_ROWS;
    const first = limited(entries, ofMetric, Math.min(GROUP_ROWS, left));
    left -= first.length;
    rows.push(first);
  }
  return rows;
}

function extended(rows: Entry[], entries: readonly Entry[], steps: number, room: number): Entry[] {
  if (steps === 0 || room <= 0) return rows;
  return limited(entries, GROUP_ROWS * steps, Math.min(GROUP_ROWS * (1 + steps), rows.length + room));
}

function limited(entries: readonly Entry[], ofMetric: number, inAll: number): Entry[] {
  const counts = new Map<string, number>();
  const kept: Entry[] = [];
  for (const entry of entries) {
    if (kept.length >= inAll) break;
    const count = counts.get(entry.metric) ?? 0;
    counts.set(entry.metric, count + 1);
    if (count < ofMetric) kept.push(entry);
  }
  return kept;
}

function isListed(entry: Entry, words: readonly string[]): boolean {
  return entry.metric !== STATUS && found(entry, words);
}
