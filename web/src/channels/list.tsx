/** The list of channels, with buttons to create, test, change and delete them. */

import { useSignal } from "@preact/signals";
import { Confirm } from "../forms/dialog.tsx";
import { useTask } from "../forms/task.ts";
import { Since } from "../since.tsx";
import { Editor } from "./editor.tsx";
import { channels, forms, remove, test } from "./store.ts";
import type { Channel, ChannelTestResult } from "./types.ts";
import { sentence } from "./words.ts";

export function Channels() {
  /** The channel that is edited. Null: a new one. */
  const edited = useSignal<Channel | null | undefined>(undefined);
  const close = () => (edited.value = undefined);
  const all = channels.value;
  return (
    <section aria-labelledby="channels">
      <div class="section-head">
        <h2 id="channels" tabIndex={-1}>Channels</h2>
        <button type="button" class="primary" disabled={forms.value.length === 0} onClick={() => (edited.value = null)}>New channel</button>
      </div>
      {all === undefined && <p class="quiet">Reading the channels…</p>}
      {all?.length === 0 && <Empty />}
      <ul class="rows">
        {all?.map((channel) => <OneChannel key={channel.id} channel={channel} onEdit={() => (edited.value = channel)} />)}
      </ul>
      {edited.value !== undefined && <Editor channel={edited.value ?? undefined} onSaved={close} onClose={close} />}
    </section>
  );
}

function Empty() {
  return (
    <div class="panel block">
      <p><strong>Nobody is notified of alerts yet.</strong> The overview shows them.</p>
      <p class="quiet">
        Notify this browser, or create a channel: a webhook, a mailbox, a chat. Every channel gets each alert
        from its level on, within seconds.
      </p>
    </div>
  );
}

function OneChannel({ channel, onEdit }: { channel: Channel; onEdit: () => void }) {
  const task = useTask();
  const tested = useSignal<ChannelTestResult | undefined>(undefined);
  const isDeleting = useSignal(false);
  const name = channel.title || channel.name;
  const type = forms.value.find(({ type }) => type === channel.type)?.title ?? channel.type;
  const tryIt = () => task.run(async () => {
    tested.value = undefined;
    tested.value = await test(channel);
  });
  return (
    <li class="panel row-panel">
      <div class="row-text">
        <h3>{name} {!channel.enabled && <span class="badge">off</span>}</h3>
        <p class="origin">{channel.title && `${channel.name} · `}{type} · from {channel.min_level} on</p>
        <Last channel={channel} />
      </div>
      <div class="actions">
        <button type="button" disabled={task.isBusy} aria-label={`Send a test by ${name}`} onClick={tryIt}>
          {task.isBusy.value ? "Sending…" : "Send a test"}
        </button>
        <button type="button" aria-label={`Edit ${name}`} onClick={onEdit}>Edit</button>
        <button type="button" aria-label={`Delete ${name}`} onClick={() => (isDeleting.value = true)}>Delete</button>
      </div>
      <p class="problem" role="alert">{task.problem}</p>
      {tested.value && <Result tested={tested.value} onClose={() => (tested.value = undefined)} />}
      {isDeleting.value && (
        <Confirm title={`Delete ${name}?`} verb="Delete" onConfirm={() => remove(channel)} onClose={() => (isDeleting.value = false)}>
          <p>Messages that still wait for it are never sent. The delivery log stays.</p>
        </Confirm>
      )}
    </li>
  );
}

function Last({ channel: { last_delivery } }: { channel: Channel }) {
  if (!last_delivery) return <p class="origin">Nothing sent yet</p>;
  const { state, attempted_at, last_error } = last_delivery;
  const isWell = state === "sent" || state === "grouped";
  return (
    <p class="origin">
      <span class="status" data-status={isWell ? "healthy" : "critical"}>{isWell ? "Sent" : "Not sent"}</span>{" "}
      <Since time={attempted_at} />{!isWell && last_error && <>: {last_error}</>}
    </p>
  );
}

function Result({ tested, onClose }: { tested: ChannelTestResult; onClose: () => void }) {
  const isSent = tested.state === "sent";
  return (
    <div class="result" role="status">
      <p class={isSent ? "success" : "problem"}>
        {isSent ? "The test was sent." : sentence(`The test was not sent: ${tested.error}`)}
      </p>
      <h4>What was sent</h4>
      <pre tabIndex={0} aria-label="What was sent">{readable(tested.sent)}</pre>
      <h4>What was answered{tested.status > 0 && `: ${tested.status}`}</h4>
      <pre tabIndex={0} aria-label="What was answered">{tested.answer || "Nothing."}</pre>
      <button type="button" onClick={onClose}>Hide</button>
    </div>
  );
}

/** Indents JSON, and returns any other text unchanged. */
function readable(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
