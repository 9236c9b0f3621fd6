/** Subscribes this browser to notifications, and stores the subscription in the service. */

import { del, get, post, Problem } from "../api.ts";
import type { Channel, ChannelTestResult } from "../channels/types.ts";
import type { Level } from "../types.ts";
import { base64url, browserTitle, hex } from "./naming.ts";

const WORKER = "/service-worker.js";

interface Policies {
  createPolicy(name: string, rules: { createScriptURL: () => string }): { createScriptURL(text: string): string };
}

/** Why this browser cannot be notified. Empty: it can. */
export function obstacle(): string {
  if (!window.isSecureContext) {
    return "Browsers allow notifications only on pages that were opened by https, or on localhost.";
  }
  if ("serviceWorker" in navigator && "PushManager" in window && "Notification" in window) return "";
  if (/iPhone|iPad/.test(navigator.userAgent)) {
    return "On iPhones and iPads, add this page to the home screen first, and open it from there.";
  }
  return "This browser knows no notifications of pages.";
}

/** The channel of this browser. Undefined: it is not notified. */
export async function current(): Promise<Channel | undefined> {
  const subscription = await subscriptionNow();
  if (!subscription) return undefined;
  try {
    return await get<Channel>(await pathOf(subscription));
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return undefined;
    throw error;
  }
}

/** Asks for permission, subscribes, and stores the subscription. A repetition changes the level. */
export async function subscribe(level: Level): Promise<Channel> {
  if ((await Notification.requestPermission()) !== "granted") {
    throw new Error("The browser does not allow this page to notify you. Allow it in the browser's settings of this page, and try again.");
  }
  const { public_key } = await get<{ public_key: string }>("/push/key");
  const subscription = await subscribed(public_key);
  return post<Channel>("/push/browsers", {
    subscription: subscription.toJSON(),
    server_key: public_key,
    title: browserTitle(navigator.userAgent),
    min_level: level,
    tz: Intl.DateTimeFormat().resolvedOptions().timeZone,
    language: navigator.language.startsWith("pt") ? "pt-BR" : "en",
  });
}

export async function unsubscribe(): Promise<void> {
  const subscription = await subscriptionNow();
  if (!subscription) return;
  try {
    await del(await pathOf(subscription));
  } catch (error) {
    if (!(error instanceof Problem && error.status === 404)) throw error;
  }
  await subscription.unsubscribe();
}

export async function test(): Promise<ChannelTestResult> {
  const subscription = await subscriptionNow();
  if (!subscription) throw new Error("The browser has ended the subscription. Subscribe again.");
  return post<ChannelTestResult>(`${await pathOf(subscription)}/test`);
}

async function subscribed(key: string): Promise<PushSubscription> {
  const { pushManager } = await registered();
  const before = await pushManager.getSubscription();
  const known = before?.options.applicationServerKey;
  if (before && known && base64url(known) === key) return before;
  // The subscription belongs to another key than the service's, so its messages would be refused.
  await before?.unsubscribe();
  return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

async function subscriptionNow(): Promise<PushSubscription | null> {
  const registration = await navigator.serviceWorker.getRegistration("/");
  return (await registration?.pushManager.getSubscription()) ?? null;
}

let address: string | undefined;

async function registered(): Promise<ServiceWorkerRegistration> {
  // The pages require Trusted Types: a script URL must come from a policy, and a policy can be created only once.
  const policies = (window as { trustedTypes?: Policies }).trustedTypes;
  address ??= policies?.createPolicy("service-worker", { createScriptURL: () => WORKER }).createScriptURL("") ?? WORKER;
  await navigator.serviceWorker.register(address);
  return navigator.serviceWorker.ready;
}

async function pathOf({ endpoint }: PushSubscription): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(endpoint));
  return `/push/browsers/${hex(digest)}`;
}
