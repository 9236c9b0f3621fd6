/** The list of schedules: who is on call, who is next, and the overrides. */

import { useSignal } from "@preact/signals";
import { useTask } from "../forms/task.ts";
import { now } from "../store.ts";
import { Calendar } from "./calendar.tsx";
import { byName, cancel, contacts, duties } from "./store.ts";
import { ScheduleEditor } from "./schedule-editor.tsx";
import { TakeShift } from "./take-shift.tsx";
import type { Duty, Override, Shift } from "./types.ts";
import { namesOf, overrideText, spanText, untilText } from "./words.ts";

const SHIFTS_SHOWN = 5;

export function Schedules() {
  const isMaking = useSignal(false);
  const all = duties.value ?? [];
  return (
    <section aria-labelledby="schedules">
      <div class="section-head">
        <h2 id="schedules">Schedules</h2>
        <button type="button" disabled={contacts.value?.length === 0} onClick={() => (isMaking.value = true)}>New schedule</button>
      </div>
      {all.length === 0 && <Empty />}
      <ul class="schedules">
        {all.map((duty) => <OneSchedule key={duty.schedule.name} duty={duty} />)}
      </ul>
      {isMaking.value && <ScheduleEditor onClose={() => (isMaking.value = false)} />}
    </section>
  );
}

function Empty() {
  return (
    <div class="panel block">
      <p><strong>There is no schedule yet.</strong></p>
      <p class="quiet">
        {contacts.value?.length === 0
          ? "Create a contact for each person first. Then create a schedule in which they take turns."
          : "Create one in which your contacts take turns. A route with an escalation policy then notifies the person on call."}
      </p>
    </div>
  );
}

function OneSchedule({ duty: { schedule, now: present, shifts } }: { duty: Duty }) {
  /** The shift that is being taken. Null: the present one. */
  const taken = useSignal<Shift | null | undefined>(undefined);
  const close = () => (taken.value = undefined);
  const title = schedule.title || schedule.name;
  const isCovered = present.people.length > 0;
  const next = shifts.slice(1, 1 + SHIFTS_SHOWN);
  return (
    <li class="panel schedule" data-status={isCovered ? "healthy" : "critical"}>
      <h3>{title}</h3>
      <p class="who">{namesOf(present.people, byName.value)}</p>
      <p class="origin">{untilText(present.until, now.value)}</p>
      <button type="button" class="primary" aria-label={`Take this shift: ${title}`} onClick={() => (taken.value = null)}>Take this shift</button>
      {schedule.overrides.length > 0 && (
        <>
          <h4>Taken shifts</h4>
          <ul class="shifts">
            {schedule.overrides.map((override) => <Taken key={override.id} schedule={schedule.name} override={override} />)}
          </ul>
        </>
      )}
      <h4>Next</h4>
      {next.length === 0 && <p class="quiet">The same for the next 8 weeks.</p>}
      <ul class="shifts">
        {next.map((shift) => (
          <li key={shift.starts_at}>
            <div class="row-text">
              <p class={shift.people.length === 0 ? "problem" : ""}>{namesOf(shift.people, byName.value)}</p>
              <p class="origin">{spanText(shift.starts_at, shift.ends_at, now.value)}</p>
            </div>
            <button type="button" aria-label={`Take: ${spanText(shift.starts_at, shift.ends_at, now.value)}`} onClick={() => (taken.value = shift)}>Take</button>
          </li>
        ))}
      </ul>
      <Calendar kind="schedules" name={schedule.name} isThere={schedule.has_calendar} />
      {taken.value !== undefined && (
        <TakeShift schedule={schedule.name} title={title} shift={taken.value ?? undefined} needsEnd={taken.value === null && present.until === null} onClose={close} />
      )}
    </li>
  );
}

function Taken({ schedule, override }: { schedule: string; override: Override }) {
  const task = useTask();
  const text = overrideText(override, byName.value);
  return (
    <li>
      <div class="row-text">
        <p>{text}</p>
        <p class="origin">{spanText(override.starts_at, override.ends_at, now.value)}</p>
        <p class="problem" role="alert">{task.problem}</p>
      </div>
      <button type="button" disabled={task.isBusy} aria-label={`Cancel: ${text}`} onClick={() => task.run(() => cancel(schedule, override.id))}>Cancel</button>
    </li>
  );
}
