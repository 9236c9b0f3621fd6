/** Creates a schedule with one rotation, which hands over at one time of the day. */

import { useSignal } from "@preact/signals";
import { post } from "../api.ts";
import { Dialog } from "../forms/dialog.tsx";
import { Field, Select } from "../forms/field.tsx";
import { useTask } from "../forms/task.ts";
import { asked } from "../store.ts";
import { contacts, readDuties } from "./store.ts";
import { withPerson } from "./words.ts";

const UNITS = [["day", "Each day"], ["week", "Each week"], ["month", "Each month"]] as const;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const FIRST_HOUR = "T09:00";

export function ScheduleEditor({ onClose }: { onClose: () => void }) {
  const name = useSignal("");
  const title = useSignal("");
  const unit = useSignal<(typeof UNITS)[number][0]>("week");
  const start = useSignal(new Date().toISOString().slice(0, 10) + FIRST_HOUR);
  const people = useSignal<readonly string[]>([]);
  const task = useTask();
  const submit = async (event: Event) => {
    event.preventDefault();
    const layers = [{ start: `${start.value}:00`, unit: unit.value, people: people.value }];
    const isMade = await task.run(async () => {
      await asked(post("/schedules", { name: name.value, title: title.value, tz: ZONE, layers }));
      await readDuties();
    });
    if (isMade) onClose();
  };
  return (
    <Dialog title="New schedule" onClose={onClose}>
      <form class="fields" onSubmit={submit}>
        <Field id="schedule-name" label="Name" hint="Letters, digits, _ . and -, without spaces. It never changes.">
          <input id="schedule-name" type="text" required maxLength={100} pattern="[A-Za-z0-9_.\-]+" autocomplete="off" spellcheck={false}
            aria-describedby="schedule-name-hint" value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
        </Field>
        <Field id="schedule-title" label="Title" isOptional>
          <input id="schedule-title" type="text" maxLength={200} autocomplete="off" value={title.value} onInput={(event) => (title.value = event.currentTarget.value)} />
        </Field>
        <fieldset class="addresses">
          <legend>Who takes turns</legend>
          <p class="hint">In the order in which you choose them.</p>
          {(contacts.value ?? []).map((contact) => {
            const place = people.value.indexOf(contact.name);
            return (
              <label class="check" key={contact.name}>
                <input type="checkbox" checked={place >= 0} onChange={() => (people.value = withPerson(people.value, contact.name))} />
                {contact.title || contact.name}{place >= 0 && <span class="badge">{place + 1}</span>}
              </label>
            );
          })}
        </fieldset>
        <div class="row">
          <Select id="schedule-unit" label="Hand-over" value={unit.value} options={UNITS} onChange={(one) => (unit.value = one)} />
          <Field id="schedule-start" label="First turn" hint={`By the clock of ${ZONE.replaceAll("_", " ")}.`}>
            <input id="schedule-start" type="datetime-local" required aria-describedby="schedule-start-hint" value={start.value}
              onInput={(event) => (start.value = event.currentTarget.value)} />
          </Field>
        </div>
        <p class="hint">Use the API for several rotations, hours of the day and temporary schedules.</p>
        <p class="problem" role="alert">{task.problem}</p>
        <div class="actions">
          <button type="submit" class="primary" disabled={task.isBusy.value || people.value.length === 0}>Create schedule</button>
          <button type="button" onClick={onClose}>Cancel</button>
        </div>
      </form>
    </Dialog>
  );
}
