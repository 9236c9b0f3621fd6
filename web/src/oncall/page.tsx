/** The page of on-call schedules and contacts. */

import { useEffect } from "preact/hooks";
import { readChannels } from "../channels/store.ts";
import { useTask } from "../forms/task.ts";
import { ContactList } from "./contacts.tsx";
import { Schedules } from "./schedules.tsx";
import { contacts, duties, readAll } from "./store.ts";

const REFRESH_MS = 30_000;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function OnCall() {
  const task = useTask();
  useEffect(() => {
    void task.run(async () => void (await Promise.all([readAll(), readChannels()])));
    const timer = setInterval(() => {
      if (!document.hidden) void task.run(readAll);
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const isRead = duties.value !== undefined && contacts.value !== undefined;
  return (
    <>
      <div class="page-head">
        <h1>On call</h1>
        <p class="quiet">Times by your clock, {ZONE.replaceAll("_", " ")}</p>
      </div>
      <p class="interruption" role="alert" hidden={!task.problem.value}>{task.problem}</p>
      {!isRead && !task.problem.value && <p class="waiting">Reading who is on call…</p>}
      {isRead && <Schedules />}
      {isRead && <ContactList />}
    </>
  );
}
