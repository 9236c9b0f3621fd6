/** The state of schedules and contacts, and the requests that change it. */

import { computed, signal } from "@preact/signals";
import { del, get, post, Problem } from "../api.ts";
import type { Page } from "../channels/types.ts";
import { asked } from "../store.ts";
import type { Contact, Duty, OnCallNow, Schedule, Shift } from "./types.ts";

const ALL = new URLSearchParams({ limit: "1000" });
const LOOK_AHEAD_MS = 56 * 86_400_000;
/** Shifts are requested for one schedule after the other, so the number of schedules is limited. */
const SCHEDULES_SHOWN = 50;

/** Undefined until they are loaded. */
export const duties = signal<readonly Duty[] | undefined>(undefined);
export const contacts = signal<readonly Contact[] | undefined>(undefined);
export const byName = computed(() => new Map((contacts.value ?? []).map((contact) => [contact.name, contact])));

export async function readAll(): Promise<void> {
  await Promise.all([readContacts(), readDuties()]);
}

export async function readContacts(): Promise<void> {
  contacts.value = (await asked(get<Page<Contact>>("/contacts", ALL))).items;
}

export async function readDuties(): Promise<void> {
  const [schedules, now] = await Promise.all([
    asked(get<Page<Schedule>>("/schedules", ALL)),
    asked(get<Page<OnCallNow>>("/oncall", ALL)),
  ]);
  const present = new Map(now.items.map((one) => [one.schedule, one]));
  const found: Duty[] = [];
  for (const schedule of schedules.items.slice(0, SCHEDULES_SHOWN)) {
    const one = present.get(schedule.name);
    const shifts = one && (await shiftsOf(schedule));
    if (one && shifts) found.push({ schedule, now: one, shifts });
  }
  duties.value = found;
}

/** The start and end of a taken shift. By default it starts now and ends at the next hand-over. */
export interface Taking {
  person: string;
  from?: string | undefined;
  until?: string | undefined;
}

export async function take(schedule: string, taking: Taking): Promise<void> {
  await asked(post(`/schedules/${encodeURIComponent(schedule)}/overrides`, taking));
  await readDuties();
}

export async function cancel(schedule: string, override: number): Promise<void> {
  await asked(del(`/schedules/${encodeURIComponent(schedule)}/overrides/${override}`));
  await readDuties();
}

/** Creates the URL of a calendar. No later answer contains it. */
export async function createCalendar(kind: "schedules" | "contacts", name: string): Promise<string> {
  const { url } = await asked(post<{ url: string }>(`/${kind}/${encodeURIComponent(name)}/calendar`));
  await readAll();
  return url;
}

export async function sendCodes(contact: string): Promise<void> {
  await asked(post(`/contacts/${encodeURIComponent(contact)}/verify`));
}

export async function confirmCode(contact: string, code: string): Promise<void> {
  await asked(post(`/contacts/${encodeURIComponent(contact)}/confirm`, { code }));
  await readContacts();
}

/** The shifts with a known end. The last shift is dropped, because the range cuts it. */
async function shiftsOf({ name }: Schedule): Promise<Shift[] | undefined> {
  const query = new URLSearchParams({ end: new Date(Date.now() + LOOK_AHEAD_MS).toISOString() });
  try {
    return (await asked(get<Page<Shift>>(`/schedules/${encodeURIComponent(name)}/shifts`, query))).items.slice(0, -1);
  } catch (error) {
    // The schedule has just been deleted.
    if (error instanceof Problem && error.status === 404) return undefined;
    throw error;
  }
}
