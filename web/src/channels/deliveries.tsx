/** The delivery log: sent, waiting and failed messages, with the reason of each failure. */

import { Select } from "../forms/field.tsx";
import { useTask } from "../forms/task.ts";
import { Since } from "../since.tsx";
import { channels, deliveries, filter, hasMore, readDeliveries, sendAgain, showMore } from "./store.ts";
import type { Delivery } from "./types.ts";
import { causeOf, recipientOf, stateText, subjectOf } from "./words.ts";

const STATES = [["", "All"], ["failed", "Failed"], ["pending", "Waiting"], ["sent", "Sent"], ["grouped", "In a group"]] as const;
const TONES = { sent: "healthy", grouped: "healthy", pending: "warning", failed: "critical" };

export function Deliveries() {
  const task = useTask();
  const choose = (part: Partial<typeof filter.value>) => {
    filter.value = { ...filter.value, ...part };
    void task.run(readDeliveries);
  };
  const { state, channel } = filter.value;
  const names = (channels.value ?? []).map(({ name, title }) => [name, title || name] as const);
  const all = deliveries.value;
  return (
    <section aria-labelledby="deliveries">
      <div class="section-head">
        <h2 id="deliveries">Delivery log</h2>
        <div class="controls">
          <Select id="log-state" label="State" value={state} options={STATES} onChange={(state) => choose({ state })} />
          <Select id="log-channel" label="Channel" value={channel} options={[["", "All"], ...names]} onChange={(channel) => choose({ channel })} />
        </div>
      </div>
      <p class="problem" role="alert">{task.problem}</p>
      {all?.length === 0 && (
        <p class="quiet">{state || channel ? "No message is like this." : "Nothing was sent yet. Each message shows here, with what came of it."}</p>
      )}
      <ul class="panel log">
        {all?.map((delivery) => <OneDelivery key={delivery.id} delivery={delivery} />)}
      </ul>
      {hasMore.value && <p class="rest"><button type="button" disabled={task.isBusy} onClick={() => task.run(showMore)}>Show more messages</button></p>}
    </section>
  );
}

function OneDelivery({ delivery }: { delivery: Delivery }) {
  const task = useTask();
  const { state, attempts, sent_at, created_at } = delivery;
  const subject = subjectOf(delivery);
  const cause = causeOf(delivery);
  const canRepeat = state === "failed" || state === "sent";
  return (
    <li>
      <p class="status" data-status={TONES[state]}>{stateText(state)}</p>
      <div class="row-text">
        <p>{subject}</p>
        <p class="origin">
          {recipientOf(delivery)} · <Since time={sent_at ?? created_at} />{attempts > 1 && ` · ${attempts} tries`}
        </p>
        {cause && <p class="cause">{cause}</p>}
        <p class="problem" role="alert">{task.problem}</p>
      </div>
      {canRepeat && (
        <button type="button" class={state === "sent" ? "plain" : ""} disabled={task.isBusy} aria-label={`Send again: ${subject}`} onClick={() => task.run(() => sendAgain(delivery))}>
          Send again
        </button>
      )}
    </li>
  );
}
