/** The form to take a shift: the person and the end, with two taps. */

import { useSignal } from "@preact/signals";
import { Dialog } from "../forms/dialog.tsx";
import { Field, Select } from "../forms/field.tsx";
import { useTask } from "../forms/task.ts";
import { now } from "../store.ts";
import { contacts, take } from "./store.ts";
import type { Shift } from "./types.ts";
import { momentOf, spanText } from "./words.ts";

/** The last person who took a shift in this browser is the default. */
const LAST = "vigia.on-call.person";

interface Props {
  schedule: string;
  title: string;
  /** A future shift. Undefined: the present one. */
  shift: Shift | undefined;
  needsEnd: boolean;
  onClose: () => void;
}

export function TakeShift({ schedule, title, shift, needsEnd, onClose }: Props) {
  const all = contacts.value ?? [];
  const last = localStorage.getItem(LAST);
  const person = useSignal(all.find(({ name }) => name === last)?.name ?? all[0]?.name ?? "");
  const until = useSignal("");
  const task = useTask();
  const submit = async (event: Event) => {
    event.preventDefault();
    const taking = { person: person.value, from: shift?.starts_at, until: shift?.ends_at ?? momentOf(until.value) };
    if (await task.run(() => take(schedule, taking))) {
      localStorage.setItem(LAST, person.value);
      onClose();
    }
  };
  return (
    <Dialog title={`Take a shift: ${title}`} onClose={onClose}>
      <form class="fields" onSubmit={submit}>
        {shift
          ? <p>{spanText(shift.starts_at, shift.ends_at, now.value)}</p>
          : <p>From now on. Both are notified at once.</p>}
        <Select id="take-person" label="Who takes it" value={person.value} onChange={(name) => (person.value = name)}
          options={all.map(({ name, title }) => [name, title || name] as const)} />
        {!shift && (
          <Field id="take-until" label="Until" isOptional={!needsEnd} hint={needsEnd ? undefined : "Empty: until the next hand-over."}>
            <input id="take-until" type="datetime-local" required={needsEnd} value={until.value} aria-describedby="take-until-hint"
              onInput={(event) => (until.value = event.currentTarget.value)} />
          </Field>
        )}
        <p class="problem" role="alert">{task.problem}</p>
        <div class="actions">
          <button type="submit" class="primary" disabled={task.isBusy.value || person.value === ""}>Take the shift</button>
          <button type="button" onClick={onClose}>Cancel</button>
        </div>
      </form>
    </Dialog>
  );
}
