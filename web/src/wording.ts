/** The sentences about status and alerts. Pure. */

import type { Alert, ComponentHealth, Status } from "./types.ts";

const WORDS: Record<Status, string> = {
  healthy: "Healthy",
  warning: "Warning",
  critical: "Critical",
  down: "Down",
};

/** Null is not an error: nobody asked for this component, or nobody looks at it now. */
export function statusText(health: ComponentHealth): string {
  if (health.maintenance) return "Maintenance";
  if (health.status !== null) return WORDS[health.status];
  return health.reason.startsWith("not configured") ? "Not configured" : "Not observed";
}

/** The reason, unless the status says it already. */
export function reasonText(health: ComponentHealth): string {
  const isSaid = health.reason.toLowerCase() === statusText(health).toLowerCase();
  return isSaid ? "" : health.reason;
}

/** The whole in one sentence, which names the worst. */
export function headline(status: Status | null, health: ReadonlyMap<string, ComponentHealth>): string {
  if (status === null) return "Nothing is observed yet";
  if (status === "healthy") return "Everything is healthy";
  const worst = [...health].filter(([, one]) => one.status === status).map(([name]) => name);
  const state = status === "warning" ? "not well" : status;
  if (worst.length === 0) return `Something is ${state}`;
  if (worst.length > 3) return `${worst.length} components are ${state}`;
  return `${listed(worst)} ${worst.length === 1 ? "is" : "are"} ${state}`;
}

/** How many components there are, and of how many nothing is known. */
export function coverage(health: ReadonlyMap<string, ComponentHealth>): string {
  const blind = [...health.values()].filter((one) => one.status === null).length;
  const total = `${health.size} ${health.size === 1 ? "component" : "components"}`;
  return blind === 0 ? total : `${total}, ${blind} not observed`;
}

/** What a screen reader says when the alerts changed. */
export function alertNews(
  before: ReadonlyMap<number, Alert>,
  after: ReadonlyMap<number, Alert>,
): string {
  const opened = [...after.values()].filter((alert) => !before.has(alert.id));
  const closed = [...before.values()].filter((alert) => !after.has(alert.id));
  return [
    ...opened.map((alert) => `New ${alert.level} alert: ${alert.title}`),
    ...closed.map((alert) => `Resolved: ${alert.title}`),
  ].join(". ");
}

function listed(names: string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
