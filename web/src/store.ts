/** The state of the page as signals, and all functions that change it. */

import { batch, computed, effect, signal } from "@preact/signals";
import { get, post, Problem, signOut } from "./api.ts";
import { catalogueOf, type Group } from "./catalogue.ts";
import { Connection, type Link } from "./connection.ts";
import { EMPTY, reduceAll, sortedAlerts, withEverything } from "./state.ts";
import type { Alert, CurrentMetrics, Message, SeriesName } from "./types.ts";
import { alertNews, isCurrent } from "./wording.ts";

const TICK_MS = 5_000;
/** A state with thousands of series arrives in many messages, which are applied together. */
const TOGETHER_MS = 30;

export const state = signal(EMPTY);
export const link = signal<Link>("connecting");
/** The number of connections made so far. */
export const connections = signal(0);
export const version = signal("");
/** Said by screen readers. */
export const news = signal("");
/** The catalogue of all series. */
export const groups = computed<readonly Group[]>(() => {
  members.value;
  return (described = catalogueOf(state.peek().values, described));
});
export const alerts = computed(() => sortedAlerts(state.value.alerts));
/** How many alerts are about values of now. */
export const currentAlerts = computed(() => alerts.value.filter(isCurrent).length);

const members = computed(() => state.value.members);
let described: readonly Group[] = [];

/** The offset to the clock of the service, because this machine's may be wrong. */
let ahead_s = 0;
export const now = signal(Date.now() / 1000);

type Listener = (message: Message) => void;
const listeners = new Set<Listener>();

/** Call a listener for each message after it is applied; returns a function that stops it. */
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
    const count = currentAlerts.value;
    document.title = count === 0 ? "Vigia" : `(${count}) Vigia`;
  });
}

/** Subscribe to the values of these series, or of all series. */
export function subscribe(series: readonly SeriesName[] | undefined): void {
  connection?.subscribe(series);
}

/** Request the newest value of every series, to find series that were added or removed. */
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

/** Await a response, and note if it says that the session has ended. */
export async function asked<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Problem && error.status === 401) link.value = "signed out";
    throw error;
  }
}

/** Apply messages of the service in order. */
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
