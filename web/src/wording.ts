/** Texts about status and alerts. Pure. */

import type { Alert, ComponentHealth, Status } from "./types.ts";

const WORDS: Record<Status, string> = {
  healthy: "Healthy",
  warning: "Warning",
  critical: "Critical",
  down: "Down",
};

/** A status of null is no error: the component is not configured, or not observed now. */
export function statusText(health: ComponentHealth): string {
  if (health.maintenance) return "Maintenance";
  if (health.status !== null) return WORDS[health.status];
  return health.reason.startsWith("not configured") ? "Not configured" : "Not observed";
}

/** The reason without the part that the status text repeats. */
export function reasonText(health: ComponentHealth): string {
  const said = statusText(health).toLowerCase();
  if (health.reason !== said && !health.reason.startsWith(`${said}: `)) return health.reason;
  const rest = health.reason.slice(said.length + 2);
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

/** The overall status in one sentence, which names the worst components. */
export function headline(
  status: Status | null,
  health: ReadonlyMap<string, ComponentHealth>,
  alerts: number,
): string {
  if (status === null) return "Nothing is observed yet";
  if (status === "healthy") {
    if (alerts === 0) return "Everything is healthy";
    return `Healthy, with ${alerts} active ${alerts === 1 ? "alert" : "alerts"}`;
  }
  const worst = [...health].filter(([, one]) => one.status === status).map(([name]) => name);
  const isOne = worst.length < 2;
  const names = worst.length > 3 ? `${worst.length} components` : listed(worst) || "Something";
  if (status === "warning") return `${names} ${isOne ? "needs" : "need"} attention`;
  return `${names} ${isOne ? "is" : "are"} ${status}`;
}

/** The number of components, and of those that are observed. */
export function coverage(health: ReadonlyMap<string, ComponentHealth>): string {
  const seen = [...health.values()].filter((one) => one.status !== null).length;
  const total = `${health.size} ${health.size === 1 ? "component" : "components"}`;
  return seen === health.size ? total : `${seen} of ${total} observed`;
}

/** The text that a screen reader announces when alerts change. */
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

/** What precedes the name of a silent host in the causes that suppress an alert. */
const SILENT = "silent:";

/** The causes that suppress an alert: `silence:3` becomes "silence 3". */
export function suppressedText(suppressedBy: string[]): string {
  const hosts = suppressedBy.filter((one) => one.startsWith(SILENT)).map((one) => one.slice(SILENT.length));
  const others = suppressedBy.filter((one) => !one.startsWith(SILENT)).map((one) => one.replace(":", " "));
  return [
    ...(hosts.length > 0 ? [`${listed(hosts)} stopped sending, so this is old`] : []),
    ...(others.length > 0 ? [`suppressed by ${listed(others)}`] : []),
  ].join(" · ");
}

/** Whether an alert is about a value of now, and not about one of a host that stopped sending. */
export function isCurrent(alert: Alert): boolean {
  return !alert.suppressed_by.some((one) => one.startsWith(SILENT));
}

/** Whether a text that somebody wrote may become a link: a script is not one. */
export function isWebAddress(text: string): boolean {
  return /^https?:\/\/[^\s]+$/.test(text);
}

function listed(names: string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
