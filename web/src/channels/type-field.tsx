/** One field of a channel type, as the service describes it. */

import { Field } from "../forms/field.tsx";
import type { FormField } from "./types.ts";

interface Props {
  field: FormField;
  isNew: boolean;
  isNeeded: boolean;
  value: string | boolean | undefined;
  onChange: (value: string | boolean) => void;
}

export function TypeField({ field, isNew, isNeeded, value, onChange }: Props) {
  const id = `channel-field-${field.name}`;
  if (field.kind === "switch") {
    return (
      <div class="field">
        <label class="check">
          <input type="checkbox" checked={value === true} aria-describedby={`${id}-hint`} onChange={(event) => onChange(event.currentTarget.checked)} />
          {field.label}
        </label>
        <p id={`${id}-hint`} class="hint">{field.hint}</p>
      </div>
    );
  }
  // No answer contains addresses and secrets: an empty field keeps the stored one.
  const isKept = !isNew && !field.is_setting;
  const text = {
    id,
    required: isNeeded,
    value: String(value ?? ""),
    spellcheck: false,
    placeholder: isKept ? "Stays as it is" : field.example,
    "aria-describedby": `${id}-hint`,
  };
  return (
    <Field id={id} label={field.label} hint={field.hint} isOptional={!isNeeded && !isKept}>
      {field.kind === "list" && <textarea {...text} rows={2} onInput={(event) => onChange(event.currentTarget.value)} />}
      {field.kind === "write_only" && (
        <input {...text} type="password" autocomplete="new-password" onInput={(event) => onChange(event.currentTarget.value)} />
      )}
      {(field.kind === "text" || field.kind === "number") && (
        <input {...text} type="text" inputMode={field.kind === "number" ? "numeric" : "text"} autocomplete="off"
          onInput={(event) => onChange(event.currentTarget.value)} />
      )}
    </Field>
  );
}
