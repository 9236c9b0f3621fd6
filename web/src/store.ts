/** What the page shows, as signals, and everything that changes it. */

import { computed, effect, signal } from "@preact/signals";
import { post, Problem, signOut } from "./api.ts";
import { Connection, type Link } from "./connection.ts";
import { EMPTY, reduce, sortedAlerts } from "./state.ts";
import type { Alert, Message } from "./types.ts";
import { alertNews } from "./wording.ts";

const TICK_MS = 5_000;

export const state = signal(EMPTY);
export const link = signal<Link>("connecting");
/** How often we were connected. */
export const connections = signal(0);
export const version = signal("");
/** Said by screen readers. */
export const news = signal("");
export const alerts = computed(() => sortedAlerts(state.value.alerts));

/** The service's clock; ours may be wrong. */
let ahead_s = 0;
export const now = signal(Date.now() / 1000);

type Listener = (message: Message) => void;
const listeners: Listener[] = [];

/** Hear every message after the state has taken it. */
export function onMessage(listener: Listener): void {
  listeners.push(listener);
}

export function start(): void {
  new Connection(receive, (changed) => (link.value = changed)).open();
  setInterval(tick, TICK_MS);
  effect(() => {
    const count = alerts.value.length;
    document.title = count === 0 ? "Vigia" : `(${count}) Vigia`;
  });
}

export async function act(alert: Alert, step: "resolve" | "acknowledge"): Promise<void> {
  const changed = await asked(post<Alert>(`/alerts/${alert.id}/${step}`));
  take({ type: "alerts", seq: 0, time: "", data: { snapshot: false, alerts: [changed] } });
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

function receive(message: Message): void {
  if (message.type === "hello") {
    version.value = message.data.version;
    connections.value += 1;
  }
  ahead_s = Date.parse(message.time) / 1000 - Date.now() / 1000;
  tick();
  take(message);
  for (const listener of listeners) listener(message);
}

function take(message: Message): void {
  const before = state.value;
  state.value = reduce(before, message);
  if (before.isComplete && before.alerts !== state.value.alerts) {
    news.value = alertNews(before.alerts, state.value.alerts) || news.value;
  }
}

function tick(): void {
  now.value = Date.now() / 1000 + ahead_s;
}
