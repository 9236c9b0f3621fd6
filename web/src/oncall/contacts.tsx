/** The list of contacts with their addresses. */

import { useSignal } from "@preact/signals";
import { channels } from "../channels/store.ts";
import { Field } from "../forms/field.tsx";
import { useTask } from "../forms/task.ts";
import { now } from "../store.ts";
import { Calendar } from "./calendar.tsx";
import { ContactEditor } from "./contact-editor.tsx";
import { confirmCode, contacts, sendCodes } from "./store.ts";
import type { Address, Contact } from "./types.ts";
import { addressText, reachText } from "./words.ts";

export function ContactList() {
  /** The contact that is edited. Null: a new one. */
  const edited = useSignal<Contact | null | undefined>(undefined);
  const close = () => (edited.value = undefined);
  const all = contacts.value ?? [];
  return (
    <section aria-labelledby="contacts">
      <div class="section-head">
        <h2 id="contacts">Contacts</h2>
        <button type="button" onClick={() => (edited.value = null)}>New contact</button>
      </div>
      {all.length === 0 && <Empty />}
      <ul class="rows">
        {all.map((contact) => <OneContact key={contact.name} contact={contact} onEdit={() => (edited.value = contact)} />)}
      </ul>
      {edited.value !== undefined && <ContactEditor contact={edited.value ?? undefined} onClose={close} />}
    </section>
  );
}

function Empty() {
  return (
    <div class="panel block">
      <p><strong>There is nobody to call yet.</strong></p>
      <p class="quiet">
        {channels.value?.length === 0
          ? <>First create a channel in the <a href="/settings">settings</a>, such as mail or SMS. Then create a contact for each person.</>
          : "Create a contact for each person who may be on call, with the addresses of the person."}
      </p>
    </div>
  );
}

function OneContact({ contact, onEdit }: { contact: Contact; onEdit: () => void }) {
  const name = contact.title || contact.name;
  const warning = reachText(contact, now.value);
  return (
    <li class="panel row-panel">
      <div class="row-text">
        <h3>{name}</h3>
        {contact.title && <p class="origin">{contact.name}</p>}
        {warning && <p class="cause">{warning}</p>}
        <ul>
          {contact.addresses.map((address) => <OneAddress key={`${address.channel} ${address.address}`} address={address} />)}
        </ul>
      </div>
      <div class="actions">
        <button type="button" aria-label={`Edit ${name}`} onClick={onEdit}>Edit</button>
      </div>
      {contact.addresses.some(({ verified_at }) => verified_at === null) && <Verify contact={contact} />}
      <Calendar kind="contacts" name={contact.name} isThere={contact.has_calendar} />
    </li>
  );
}

function OneAddress({ address }: { address: Address }) {
  const isVerified = address.verified_at !== null;
  return (
    <li class="origin">
      {addressText(address)}{" "}
      <span class="status" data-status={isVerified ? "healthy" : "warning"}>{isVerified ? "Verified" : "Not verified"}</span>
    </li>
  );
}

/** Sends a code to each unverified address, and takes the code that the person received. */
function Verify({ contact }: { contact: Contact }) {
  const task = useTask();
  const isSent = useSignal(false);
  const code = useSignal("");
  const name = contact.title || contact.name;
  const verb = isSent.value ? "Send another code" : "Send a code to verify";
  const send = () => task.run(async () => {
    await sendCodes(contact.name);
    isSent.value = true;
  });
  const confirm = (event: Event) => {
    event.preventDefault();
    void task.run(async () => {
      await confirmCode(contact.name, code.value);
      code.value = "";
    });
  };
  return (
    <form class="verify" onSubmit={confirm}>
      <button type="button" disabled={task.isBusy} aria-label={`${verb}: ${name}`} onClick={send}>{verb}</button>
      {isSent.value && (
        <>
          <Field id={`code-${contact.name}`} label="Code" hint="Six digits, good for 15 minutes.">
            <input id={`code-${contact.name}`} type="text" inputMode="numeric" autocomplete="one-time-code" pattern="[0-9]{6}" required
              value={code.value} onInput={(event) => (code.value = event.currentTarget.value.trim())} />
          </Field>
          <button type="submit" class="primary" disabled={task.isBusy}>Verify</button>
        </>
      )}
      <p class="problem" role="alert">{task.problem}</p>
    </form>
  );
}
