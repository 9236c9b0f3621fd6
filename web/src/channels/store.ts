/** The state of channels and deliveries, and the requests that change it. */

import { signal } from "@preact/signals";
import { del, get, post, put } from "../api.ts";
import { asked } from "../store.ts";
import { bodyOf, type Draft } from "./draft.ts";
import type { Channel, Delivery, Page, ChannelTestResult, TypeForm } from "./types.ts";

const CHANNELS_SHOWN = "1000";
const DELIVERIES_SHOWN = 20;

/** Undefined until they are loaded. */
export const channels = signal<readonly Channel[] | undefined>(undefined);
export const forms = signal<readonly TypeForm[]>([]);
export const deliveries = signal<readonly Delivery[] | undefined>(undefined);
export const hasMore = signal(false);
export const filter = signal({ state: "", channel: "", limit: DELIVERIES_SHOWN });

export async function readForms(): Promise<void> {
  if (forms.value.length > 0) return;
  forms.value = (await asked(get<Page<TypeForm>>("/channels/types"))).items;
}

export async function readChannels(): Promise<void> {
  const query = new URLSearchParams({ limit: CHANNELS_SHOWN });
  channels.value = (await asked(get<Page<Channel>>("/channels", query))).items;
}

export async function readDeliveries(): Promise<void> {
  const { state, channel, limit } = filter.value;
  const query = new URLSearchParams({ limit: String(limit) });
  if (state) query.set("state", state);
  if (channel) query.set("channel", channel);
  const page = await asked(get<Page<Delivery>>("/deliveries", query));
  // The filter has changed since this request; drop its answer, because another is on its way.
  if (filter.value.state !== state || filter.value.channel !== channel) return;
  deliveries.value = page.items;
  hasMore.value = page.cursor !== null;
}

export async function showMore(): Promise<void> {
  filter.value = { ...filter.value, limit: filter.value.limit + DELIVERIES_SHOWN };
  await readDeliveries();
}

/** Creates a channel, or replaces one. */
export async function save(draft: Draft, form: TypeForm, channel?: Channel): Promise<Channel> {
  const body = bodyOf(draft, form);
  const saved = channel
    ? await asked(put<Channel>(`/channels/${channel.id}`, body))
    : await asked(post<Channel>("/channels", body));
  await readChannels();
  return saved;
}

export async function test(channel: Channel): Promise<ChannelTestResult> {
  const tested = await asked(post<ChannelTestResult>(`/channels/${channel.id}/test`));
  await Promise.all([readChannels(), readDeliveries()]);
  return tested;
}

export async function remove(channel: Channel): Promise<void> {
  await asked(del(`/channels/${channel.id}`));
  await Promise.all([readChannels(), readDeliveries()]);
}

export async function sendAgain(delivery: Delivery): Promise<void> {
  await asked(post<Delivery>(`/deliveries/${delivery.id}/replay`));
  await readDeliveries();
}
