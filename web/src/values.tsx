/** The newest values by component, as many as fit; a search finds the others. */

import { computed, signal } from "@preact/signals";
import { wordsOf, type Entry } from "./catalogue.ts";
import { formatAge, formatCount, formatTime, formatValue } from "./format.ts";
import { SILENT_S } from "./limits.ts";
import { listingOf, type Shown, type Steps } from "./listing.ts";
import { Rest, Search } from "./search.tsx";
import { groups, now, state } from "./store.ts";

const NONE: Steps = { groups: new Map(), page: 0 };

const search = signal("");
const steps = signal(NONE);
const words = computed(() => wordsOf(search.value));

export const listing = computed(() => listingOf(groups.value, words.value, steps.value));

export function Values() {
  const { groups: shown, components, total, isFull } = listing.value;
  const isSearching = words.value.length > 0;
  return (
    <section aria-labelledby="values">
      <div class="section-head">
        <h2 id="values">Live values</h2>
        {groups.value.length > 0 && <Search label="Search the values" text={search} />}
      </div>
      <p class="quiet matches" role="status">{isSearching && matchText(total)}</p>
      {!isSearching && components === 0 && <p class="quiet">No values yet.</p>}
      {shown.map((group) => <Group key={group.component} group={group} isFull={isFull} />)}
      <Rest
        shown={shown.length}
        total={components}
        noun="components"
        onMore={isFull ? undefined : () => (steps.value = { ...steps.value, page: steps.value.page + 1 })}
      />
    </section>
  );
}

function Group({ group: { component, entries, total }, isFull }: { group: Shown; isFull: boolean }) {
  return (
    <section class="panel group" aria-label={`Values of ${component}`}>
      <h3>{component}</h3>
      <dl class="values">
        {entries.map((entry) => <Row key={entry.key} entry={entry} />)}
      </dl>
      <Rest shown={entries.length} total={total} noun="values" onMore={isFull ? undefined : () => showMore(component)} />
    </section>
  );
}

function Row({ entry }: { entry: Entry }) {
  const value = state.value.values.get(entry.component)?.values.get(entry.key);
  const age = value ? now.value - value.time : 0;
  return (
    <div>
      <dt title={entry.metric}>
        {entry.title}
        {entry.detail && <span class="labels"> {entry.detail}</span>}
      </dt>
      {value && (
        <dd title={formatTime(value.time)}>
          {formatValue(value.value, value.unit)}
          {age > SILENT_S && <span class="labels"> {formatAge(age)}</span>}
        </dd>
      )}
    </div>
  );
}

function showMore(component: string): void {
  const { groups: before, page } = steps.value;
  steps.value = { page, groups: new Map([...before, [component, (before.get(component) ?? 0) + 1]]) };
}

function matchText(total: number): string {
  if (total === 0) return "Nothing matches. Try fewer or shorter words.";
  return `${formatCount(total)} ${total === 1 ? "value matches" : "values match"}.`;
}
