/** Buttons to turn notifications in this browser on or off, and to test them. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Channel } from "../channels/types.ts";
import { LEVELS } from "../forms/levels.ts";
import { useTask } from "../forms/task.ts";
import { asked } from "../store.ts";
import type { Level } from "../types.ts";
import { current, obstacle, subscribe, test, unsubscribe } from "./subscribing.ts";

const WHY_NOT = obstacle();

export function ThisBrowser({ onChange }: { onChange: () => void }) {
  const channel = useSignal<Channel | undefined>(undefined);
  const isKnown = useSignal(WHY_NOT !== "");
  const said = useSignal("");
  const task = useTask();

  useEffect(() => {
    if (!WHY_NOT) void task.run(async () => {
      channel.value = await asked(current());
      isKnown.value = true;
    });
  }, []);

  const change = (level: Level) => task.run(async () => {
    said.value = "";
    channel.value = await asked(subscribe(level));
    isKnown.value = true;
    onChange();
  });
  const stop = () => task.run(async () => {
    said.value = "";
    await asked(unsubscribe());
    channel.value = undefined;
    onChange();
  });
  const tryIt = () => task.run(async () => {
    said.value = "";
    const tested = await asked(test());
    said.value = tested.state === "sent" ? "Sent. The notification appears within seconds." : `Not sent: ${tested.error}.`;
    channel.value = await asked(current());
    onChange();
  });

  const on = channel.value;
  return (
    <section aria-labelledby="this-browser">
      <h2 id="this-browser">This browser</h2>
      <div class="panel block">
        <p>
          {on
            ? <>This browser is notified of alerts, as <strong>{on.title || on.name}</strong>.</>
            : <>Get alerts as notifications of this browser, also while no page of Vigia is open, with a button to acknowledge.</>}
        </p>
        {WHY_NOT && <p class="hint">{WHY_NOT}</p>}
        {on && (
          <label class="field">
            <span>From level</span>
            <select disabled={task.isBusy} value={on.min_level} onChange={(event) => change(event.currentTarget.value as Level)}>
              {LEVELS.map((level) => <option key={level}>{level}</option>)}
            </select>
          </label>
        )}
        <div class="actions">
          {!on && (
            <button type="button" class="primary" disabled={task.isBusy.value || WHY_NOT !== ""} onClick={() => change("warning")}>
              Notify this browser
            </button>
          )}
          {on && <button type="button" disabled={task.isBusy} onClick={tryIt}>Send a test</button>}
          {on && <button type="button" disabled={task.isBusy} onClick={stop}>Stop notifying</button>}
        </div>
        <p role="status">{said}</p>
        <p class="problem" role="alert">{task.problem}</p>
      </div>
    </section>
  );
}
