/** Converts the form of a channel into the body of a request. Pure. */

import type { Level } from "../types.ts";
import type { Channel, FormField, TypeForm } from "./types.ts";

/** The state of the form: every field of a type is a text or a switch. */
export interface Draft {
  type: string;
  name: string;
  title: string;
  min_level: Level;
  language: string;
  tz: string;
  enabled: boolean;
  values: Record<string, string | boolean>;
}

export function emptyDraft(type: string, tz: string): Draft {
  return { type, name: "", title: "", min_level: "warning", language: "en", tz, enabled: true, values: {} };
}

export function draftOf(channel: Channel, form: TypeForm): Draft {
  const { type, name, title, min_level, language, tz, enabled, settings } = channel;
  const entries = form.fields
    .filter((field) => field.is_setting && settings[field.name] !== undefined && settings[field.name] !== null)
    .map((field): [string, string | boolean] => [field.name, textOf(settings[field.name])]);
  return { type, name, title, min_level, language, tz, enabled, values: Object.fromEntries(entries) };
}

/**
 * The body of a request. Empty texts are left out: a new channel then has no such field, and a
 * stored channel keeps its address and its secret.
 */
export function bodyOf(draft: Draft, form: TypeForm): Record<string, unknown> {
  const { values, ...terms } = draft;
  const entered = form.fields.flatMap((field): [FormField, unknown][] => {
    const value = valueOf(field, values[field.name]);
    return value === undefined ? [] : [[field, value]];
  });
  const pairs = (isSetting: boolean) => Object.fromEntries(
    entered.filter(([field]) => field.is_setting === isSetting).map(([field, value]) => [field.name, value]),
  );
  return { ...terms, ...pairs(false), settings: pairs(true) };
}

/** Whether a field must be filled in. A stored address or secret may stay. */
export function isNeeded(field: FormField, isNew: boolean): boolean {
  return field.is_required && field.kind !== "switch" && (isNew || field.is_setting);
}

function valueOf(field: FormField, entered: string | boolean | undefined): unknown {
  if (field.kind === "switch") return entered === true ? true : undefined;
  const text = String(entered ?? "").trim();
  if (text === "") return undefined;
  switch (field.kind) {
    case "number":
      return Number(text);
    case "list":
      return text.split(/[\n,]+/).map((one) => one.trim()).filter((one) => one !== "");
    default:
      return text;
  }
}

function textOf(value: unknown): string | boolean {
  if (typeof value === "boolean") return value;
  return Array.isArray(value) ? value.join("\n") : String(value);
}
