/** The URL where a calendar program reads shifts without a key. */

import { useSignal } from "@preact/signals";
import { useTask } from "../forms/task.ts";
import { createCalendar } from "./store.ts";

export function Calendar({ kind, name, isThere }: { kind: "schedules" | "contacts"; name: string; isThere: boolean }) {
  const task = useTask();
  const url = useSignal("");
  const verb = isThere ? "Create another address" : "Create the address";
  const create = () => task.run(async () => void (url.value = await createCalendar(kind, name)));
  return (
    <details class="calendar">
      <summary>Calendar</summary>
      <p class="hint">
        {isThere && !url.value
          ? "A calendar can read these shifts already. Another address ends the earlier one."
          : "A calendar program reads these shifts at an address. Keep it secret: it needs no key."}
      </p>
      {url.value && (
        <>
          <p><code>{url}</code></p>
          <p><a href={url.value.replace(/^https?:/, "webcal:")}>Subscribe on this device</a></p>
        </>
      )}
      <button type="button" disabled={task.isBusy} aria-label={`${verb}: calendar of ${name}`} onClick={create}>{verb}</button>
      <p class="problem" role="alert">{task.problem}</p>
    </details>
  );
}
