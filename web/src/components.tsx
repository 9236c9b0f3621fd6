/** The overall status, and a card for each component. */

import { computed, signal } from "@preact/signals";
import { formatUptime, formatValue, titleOf } from "./format.ts";
import { Rest } from "./search.tsx";
import { Since } from "./since.tsx";
import { keyOf } from "./state.ts";
import { currentAlerts, groups, state } from "./store.ts";
import type { ComponentHealth, SeriesName } from "./types.ts";
import { coverage, headline, reasonText, statusText } from "./wording.ts";

/** The metrics shown on the cards. */
const FOREMOST = [
  "server_cpu_percent",
  "server_memory_percent",
  "database_latency_ms",
  "database_size_bytes",
  "trading_positions_active",
  "trading_pnl_24h",
  "external_latency_ms",
];
const WORST_FIRST = ["down", "critical", "warning", "healthy", null];
/** How many components are shown at first, and added by each "Show more". */
const CARDS = 60;

const room = signal(CARDS);
const health = computed(() => state.value.health);
const sorted = computed(() =>
  [...health.value].sort(
    ([a, one], [b, other]) =>
      WORST_FIRST.indexOf(one.status) - WORST_FIRST.indexOf(other.status) || a.localeCompare(b),
  ),
);

/** The series shown on the cards. */
export const foremost = computed<readonly SeriesName[]>(() => {
  const shown = new Set(sorted.value.slice(0, room.value).map(([name]) => name));
  return groups.value
    .filter(({ component }) => shown.has(component))
    .flatMap(({ entries }) => entries.filter(({ metric, key }) => FOREMOST.includes(metric) && key === keyOf(metric, {})));
});

export function Overview() {
  const { status, health } = state.value;
  return (
    <section class="overview" data-status={status ?? "none"} aria-labelledby="overall">
      <div role="status">
        <h1 id="overall">{headline(status, health, currentAlerts.value)}</h1>
        <p>{coverage(health)}</p>
      </div>
    </section>
  );
}

export function Components() {
  const all = sorted.value;
  const shown = all.slice(0, room.value);
  if (all.length === 0) return null;
  return (
    <section aria-labelledby="components">
      <h2 id="components">Components</h2>
      <ul class="cards">
        {shown.map(([name, health]) => <Component key={name} name={name} health={health} />)}
      </ul>
      <Rest shown={shown.length} total={all.length} noun="components" onMore={() => (room.value += CARDS)} />
    </section>
  );
}

function Component({ name, health }: { name: string; health: ComponentHealth }) {
  const reason = reasonText(health);
  return (
    <li class="panel card" data-status={health.status ?? "none"}>
      <div class="card-head">
        <h3>{name}</h3>
        <p class="status">{statusText(health)}</p>
      </div>
      {reason && <p class="reason">{reason}</p>}
      <dl>
        <div><dt>Since</dt><dd><Since time={health.since} /></dd></div>
        <div><dt>Uptime, 24 h</dt><dd>{formatUptime(health.uptime_24h)}</dd></div>
        <Foremost name={name} />
      </dl>
    </li>
  );
}

function Foremost({ name }: { name: string }) {
  const group = state.value.values.get(name);
  const found = FOREMOST.map((metric) => group?.values.get(keyOf(metric, {})));
  return found.map((value) => value && (
    <div key={value.key}>
      <dt>{titleOf(value.metric, name, group?.category ?? "", value.unit)}</dt>
      <dd>{formatValue(value.value, value.unit)}</dd>
    </div>
  ));
}
