/** Texts about shifts and people. Pure. */

import { formatDuration } from "../format.ts";
import type { Address, Contact, Override } from "./types.ts";

export const NOBODY = "Nobody";
const DAY_S = 86_400;

export type Contacts = ReadonlyMap<string, Contact>;

/** Formats a time in the time zone of the browser. */
export function formatMoment(epoch: number, now: number): string {
  const moment = new Date(epoch * 1000);
  const isNear = epoch >= now - DAY_S && epoch < now + 6 * DAY_S;
  return (isNear ? NEAR : FAR).format(moment).replace(",", "");
}

/** The display name of a person. */
export function nameOf(name: string, contacts: Contacts): string {
  return contacts.get(name)?.title || name;
}

export function namesOf(people: readonly string[], contacts: Contacts): string {
  return people.map((name) => nameOf(name, contacts)).join(" and ") || NOBODY;
}

export function untilText(until: string | null, now: number): string {
  if (until === null) return "No other shift follows within a year";
  const epoch = Date.parse(until) / 1000;
  return `Until ${formatMoment(epoch, now)}, for ${formatDuration(Math.max(epoch - now, 0))}`;
}

export function spanText(starts_at: string, ends_at: string, now: number): string {
  const [start, end] = [new Date(starts_at), new Date(ends_at)];
  const isOneDay = start.toDateString() === end.toDateString();
  const last = isOneDay ? CLOCK.format(end) : formatMoment(end.getTime() / 1000, now);
  return `${formatMoment(start.getTime() / 1000, now)} to ${last}`;
}

/** The text of an override. */
export function overrideText(override: Override, contacts: Contacts): string {
  const out = override.out === null ? "" : nameOf(override.out, contacts);
  if (override.in === null) return `${out} is not on call`;
  const who = nameOf(override.in, contacts);
  if (override.everyone) return `${who} took the shift`;
  return out ? `${who} instead of ${out}` : `${who} as well`;
}

/** The text of an address. The JSON of a browser's subscription is left out. */
export function addressText({ channel, address }: Address): string {
  return address && !address.startsWith("{") ? `${address} by ${channel}` : channel;
}

/** Why a person gets no messages. Empty: nothing prevents it. */
export function reachText({ addresses, mute_until }: Contact, now: number): string {
  if (addresses.length === 0) return "Has no address: no message reaches this person.";
  if (mute_until !== null && Date.parse(mute_until) / 1000 > now) {
    return `Muted until ${formatMoment(Date.parse(mute_until) / 1000, now)}.`;
  }
  return "";
}

/** Adds a person at the end of the turns, or removes one who is already there. */
export function withPerson(people: readonly string[], name: string): string[] {
  return people.includes(name) ? people.filter((one) => one !== name) : [...people, name];
}

/** Converts the value of a local time input to ISO 8601. Undefined: the input is empty. */
export function momentOf(local: string): string | undefined {
  const time = Date.parse(local);
  return Number.isNaN(time) ? undefined : new Date(time).toISOString();
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const NEAR = new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" });
const FAR = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
