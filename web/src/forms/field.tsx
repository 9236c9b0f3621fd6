/** A field with its label and hint, whatever it is entered by. */

import type { ComponentChildren } from "preact";

interface Props {
  id: string;
  label: string;
  hint?: string | undefined;
  isOptional?: boolean;
  children: ComponentChildren;
}

/** The input that it holds has the id, and `${id}-hint` describes it. */
export function Field({ id, label, hint, isOptional = false, children }: Props) {
  return (
    <div class="field">
      <label for={id}>{label}{isOptional && <span class="optional"> (optional)</span>}</label>
      {children}
      {hint && <p id={`${id}-hint`} class="hint">{hint}</p>}
    </div>
  );
}

export function Select<Value extends string>({ id, label, value, options, onChange }: {
  id: string;
  label: string;
  value: Value;
  options: readonly (readonly [Value, string])[];
  onChange: (value: Value) => void;
}) {
  return (
    <Field id={id} label={label}>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value as Value)}>
        {options.map(([one, text]) => <option key={one} value={one}>{text}</option>)}
      </select>
    </Field>
  );
}
