/** Texts about deliveries. Pure. */

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

/** The subject of a message. */
export function subjectOf({ alert, event }: Delivery): string {
  if (alert) return `${alert.title}: ${event}`;
  return SUBJECTS[event] ?? event.replaceAll("_", " ");
}

/** The recipient of a message. The JSON of a browser's subscription is shown as "browser". */
export function recipientOf({ channel, person, address }: Delivery): string {
  const place = address.startsWith("{") ? "browser" : address;
  return [channel, person, place].filter((part) => part).join(" · ");
}

/** Why a message has not arrived. Empty: it was sent, or no reason is known. */
export function causeOf({ state, last_error, answer }: Delivery): string {
  if (state === "sent" || !last_error) return "";
  return answer ? `${last_error}: ${answer}` : last_error;
}

/** Turns a text into a sentence with a capital and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  return trimmed && trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}
