/** The newest value of every series, by component. */

import { useSignal } from "@preact/signals";
import { formatAge, formatTime, formatValue, labelsText, titleOf } from "./format.ts";
import type { ComponentValues, Value } from "./state.ts";
import { now, state } from "./store.ts";

const SHOWN_MAX = 60;
const STALE_S = 60;
const CATEGORIES = ["system", "database", "trading", "external", "security"];
/** Said already, as the status. */
const STATUS = "component_up";
const ORDER = new Intl.Collator("en", { numeric: true });

export function Values() {
  const sorted = [...state.value.values].sort(
    ([a, one], [b, other]) => rank(one.category) - rank(other.category) || a.localeCompare(b),
  );
  return (
    <section aria-labelledby="values">
      <h2 id="values">Live values</h2>
      {sorted.length === 0 && <p class="quiet">There are none yet.</p>}
      {sorted.map(([name, values]) => <Group key={name} name={name} group={values} />)}
    </section>
  );
}

function Group({ name, group }: { name: string; group: ComponentValues }) {
  const isWhole = useSignal(false);
  const sorted = [...group.values.values()]
    .filter(({ metric }) => metric !== STATUS)
    .map((value) => ({
      value,
      title: titleOf(value.metric, name, group.category, value.unit),
      labels: labelsText(value.labels),
    }))
    .sort((a, b) => ORDER.compare(a.title, b.title) || ORDER.compare(a.labels, b.labels));
  const shown = isWhole.value ? sorted : sorted.slice(0, SHOWN_MAX);
  if (sorted.length === 0) return null;
  return (
    <section class="panel group" aria-label={`Values of ${name}`}>
      <h3>{name}</h3>
      <dl class="values">
        {shown.map((row) => <Row key={row.value.key} {...row} />)}
      </dl>
      {shown.length < sorted.length && (
        <button type="button" onClick={() => (isWhole.value = true)}>Show all {sorted.length}</button>
      )}
    </section>
  );
}

function Row({ value, title, labels }: { value: Value; title: string; labels: string }) {
  const age = now.value - value.time;
  return (
    <div>
      <dt title={value.metric}>
        {title}
        {labels && <span class="labels"> {labels}</span>}
      </dt>
      <dd title={formatTime(value.time)}>
        {formatValue(value.value, value.unit)}
        {age > STALE_S && <span class="labels"> {formatAge(age)}</span>}
      </dd>
    </div>
  );
}

function rank(category: string): number {
  const found = CATEGORIES.indexOf(category);
  return found < 0 ? CATEGORIES.length : found;
}
