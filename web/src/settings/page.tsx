/** What people set up: notifications of this browser, the channels, and what came of their messages. */

import { useEffect } from "preact/hooks";
import { Deliveries } from "../channels/deliveries.tsx";
import { Channels } from "../channels/list.tsx";
import { readChannels, readDeliveries, readForms } from "../channels/store.ts";
import { useTask } from "../forms/task.ts";
import { ThisBrowser } from "../push/this-browser.tsx";

const REFRESH_MS = 4_000;

export function Settings() {
  const task = useTask();
  const read = () => task.run(async () => void (await Promise.all([readChannels(), readDeliveries()])));
  useEffect(() => {
    void task.run(async () => void (await Promise.all([readForms(), readChannels(), readDeliveries()])));
    const timer = setInterval(() => {
      if (!document.hidden) void read();
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <>
      <h1>Settings</h1>
      <p class="interruption" role="alert" hidden={!task.problem.value}>{task.problem}</p>
      <ThisBrowser onChange={() => void read()} />
      <Channels />
      <Deliveries />
    </>
  );
}
