/** What the page shows, as signals, and everything that changes it. */

import { batch, computed, effect, signal } from "@preact/signals";
import { get, post, Problem, signOut } from "./api.ts";
import { catalogueOf, type Group } from "./catalogue.ts";
import { Connection, type Link } from "./connection.ts";
import { EMPTY, reduceAll, sortedAlerts, withEverything } from "./state.ts";
import type { Alert, CurrentMetrics, Message, SeriesName } from "./types.ts";
import { alertNews } from "./wording.ts";

const TICK_MS = 5_000;
/** A state of thousands of series comes in many messages, which are taken together. */
const TOGETHER_MS = 30;

export const state = signal(EMPTY);
export const link = signal<Link>("connecting");
/** How often we were connected. */
export const connections = signal(0);
export const version = signal("");
/** Said by screen readers. */
export const news = signal("");
/** Every series that there is. */
export const groups = computed<readonly Group[]>(() => {
  members.value;
  return (described = catalogueOf(state.peek().values, described));
});
export const alerts = computed(() => sortedAlerts(state.value.alerts));

const members = computed(() => state.value.members);
let described: readonly Group[] = [];

/** The service's clock; ours may be wrong. */
let ahead_s = 0;
export const now = signal(Date.now() / 1000);

type Listener = (message: Message) => void;
const listeners = new Set<Listener>();

/** Hear every message after the state has taken it; returns how to stop. */
export function onMessage(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

const waiting: Message[] = [];
let connection: Connection | undefined;

export function start(): void {
  connection = new Connection(enqueue, (changed) => (link.value = changed));
  connection.open();
  setInterval(tick, TICK_MS);
  effect(() => {
    const count = alerts.value.length;
    document.title = count === 0 ? "Vigia" : `(${count}) Vigia`;
  });
}

/** Be sent the values of these series alone, or of all. */
export function subscribe(series: readonly SeriesName[] | undefined): void {
  connection?.subscribe(series);
}

/** Ask for the newest value of everything, which tells of series that came and went. */
export async function refresh(signal: AbortSignal): Promise<void> {
  const data = await asked(get<CurrentMetrics>("/metrics/current", new URLSearchParams(), signal));
  state.value = withEverything(state.value, data);
}

export async function act(alert: Alert, step: "resolve" | "acknowledge"): Promise<void> {
  const changed = await asked(post<Alert>(`/alerts/${alert.id}/${step}`));
  take([{ type: "alerts", seq: 0, time: "", data: { snapshot: false, alerts: [changed] } }]);
}

export async function leave(): Promise<void> {
  await asked(signOut());
  location.assign("/sign-in");
}

/** Notice when an answer says that the session is over. */
export async function asked<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Problem && error.status === 401) link.value = "signed out";
    throw error;
  }
}

/** Take messages of the service in their order. */
export function receive(...messages: Message[]): void {
  batch(() => {
    take(messages);
    tick();
    for (const listener of listeners) messages.forEach(listener);
  });
}

function enqueue(message: Message): void {
  if (message.type === "hello") version.value = message.data.version;
  ahead_s = Date.parse(message.time) / 1000 - Date.now() / 1000;
  if (waiting.push(message) === 1) setTimeout(() => receive(...waiting.splice(0)), TOGETHER_MS);
}

function take(messages: readonly Message[]): void {
  connections.value += messages.filter(({ type }) => type === "hello").length;
  const before = state.value;
  state.value = reduceAll(before, messages);
  if (before.isComplete && before.alerts !== state.value.alerts) {
    news.value = alertNews(before.alerts, state.value.alerts) || news.value;
  }
}

function tick(): void {
  now.value = Date.now() / 1000 + ahead_s;
}
