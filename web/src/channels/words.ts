/** Deliveries as people read them. Pure. */

import type { Delivery, DeliveryState } from "./types.ts";

const STATES: Record<DeliveryState, string> = {
  pending: "Waiting",
  grouped: "In a group",
  sent: "Sent",
  failed: "Failed",
};
const SUBJECTS: Record<string, string> = {
  group: "Several alerts in one message",
  test: "Test message",
  shift_started: "A shift begins",
  shift_ended: "A shift ends",
  code: "Code to verify the address",
  events: "Events of the bus",
};

export function stateText(state: DeliveryState): string {
  return STATES[state];
}

/** What a message was about. */
export function subjectOf({ alert, event }: Delivery): string {
  if (alert) return `${alert.title}: ${event}`;
  return SUBJECTS[event] ?? event.replaceAll("_", " ");
}

/** To whom a message went; the subscription of a browser says nothing to people. */
export function recipientOf({ channel, person, address }: Delivery): string {
  const place = address.startsWith("{") ? "browser" : address;
  return [channel, person, place].filter((part) => part).join(" · ");
}

/** Why it has not arrived; empty where there is nothing to say. */
export function causeOf({ state, last_error, answer }: Delivery): string {
  if (state === "sent" || !last_error) return "";
  return answer ? `${last_error}: ${answer}` : last_error;
}

/** A sentence, from a text that may be none. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  return trimmed && trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}
