/** The API's answers about channels and deliveries. */

import type { Level } from "../types.ts";

export interface LastDelivery {
  id: number;
  kind: string;
  event: string;
  state: DeliveryState;
  attempted_at: string;
  last_error: string | null;
}

export interface Channel {
  id: number;
  name: string;
  title: string;
  type: string;
  settings: Record<string, unknown>;
  min_level: Level;
  language: string;
  tz: string;
  enabled: boolean;
  updated_at: string;
  updated_by: string;
  /** Only in the list. Null: nothing was ever sent. */
  last_delivery?: LastDelivery | null;
}

export type FieldKind = "text" | "write_only" | "number" | "switch" | "list";

export interface FormField {
  name: string;
  is_setting: boolean;
  label: string;
  hint: string;
  example: string;
  kind: FieldKind;
  is_required: boolean;
}

/** A channel type and its fields. */
export interface TypeForm {
  type: string;
  title: string;
  about: string;
  fields: FormField[];
}

/** The result of a test message. */
export interface ChannelTestResult {
  key: string;
  state: "sent" | "failed";
  sent: string;
  status: number;
  answer: string;
  error: string;
}

export type DeliveryState = "pending" | "grouped" | "sent" | "failed";

export interface Delivery {
  id: number;
  kind: string;
  event: string;
  channel: string;
  address: string;
  person: string | null;
  state: DeliveryState;
  attempts: number;
  created_at: string;
  next_at: string;
  sent_at: string | null;
  status: number | null;
  answer: string | null;
  last_error: string | null;
  alert: { id: number; title: string; level: Level } | null;
}

export interface Page<Item> {
  items: Item[];
  cursor: string | null;
}
