/** Creates or changes a contact: its name, language, and addresses in order. */

import { useSignal } from "@preact/signals";
import { post, put } from "../api.ts";
import { channels } from "../channels/store.ts";
import { Dialog } from "../forms/dialog.tsx";
import { Field, Select } from "../forms/field.tsx";
import { useTask } from "../forms/task.ts";
import { asked } from "../store.ts";
import { readContacts } from "./store.ts";
import type { Address, Contact } from "./types.ts";

const LANGUAGES = [["en", "English"], ["pt-BR", "Português (Brasil)"]] as const;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function ContactEditor({ contact, onClose }: { contact: Contact | undefined; onClose: () => void }) {
  const name = useSignal(contact?.name ?? "");
  const title = useSignal(contact?.title ?? "");
  const language = useSignal(contact?.language ?? "en");
  const addresses = useSignal<readonly Address[]>(contact?.addresses ?? []);
  const task = useTask();
  const submit = async (event: Event) => {
    event.preventDefault();
    const body = {
      ...(contact ?? { tz: ZONE }), name: name.value, title: title.value, language: language.value, addresses: addresses.value,
    };
    const isSaved = await task.run(async () => {
      await asked(contact ? put(`/contacts/${encodeURIComponent(contact.name)}`, body) : post("/contacts", body));
      await readContacts();
    });
    if (isSaved) onClose();
  };
  return (
    <Dialog title={contact ? `Edit ${contact.title || contact.name}` : "New contact"} onClose={onClose}>
      <form class="fields" onSubmit={submit}>
        {!contact && (
          <Field id="contact-name" label="Name" hint="Letters, digits, _ . and -, without spaces. It never changes.">
            <input id="contact-name" type="text" required maxLength={100} pattern="[A-Za-z0-9_.\-]+" autocomplete="off" spellcheck={false}
              aria-describedby="contact-name-hint" value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
          </Field>
        )}
        <Field id="contact-title" label="What people call the person" isOptional>
          <input id="contact-title" type="text" maxLength={200} autocomplete="off" value={title.value} onInput={(event) => (title.value = event.currentTarget.value)} />
        </Field>
        <Select id="contact-language" label="Language of messages" value={language.value} options={LANGUAGES} onChange={(one) => (language.value = one)} />
        <Addresses addresses={addresses.value} onChange={(all) => (addresses.value = all)} />
        <p class="problem" role="alert">{task.problem}</p>
        <div class="actions">
          <button type="submit" class="primary" disabled={task.isBusy}>{contact ? "Save" : "Create contact"}</button>
          <button type="button" onClick={onClose}>Cancel</button>
        </div>
      </form>
    </Dialog>
  );
}

function Addresses({ addresses, onChange }: { addresses: readonly Address[]; onChange: (all: readonly Address[]) => void }) {
  const names = (channels.value ?? []).map(({ name, title }) => [name, title ? `${title} (${name})` : name] as const);
  const first = names[0]?.[0];
  const change = (at: number, part: Partial<Address>) => onChange(addresses.map((one, index) => (index === at ? { ...one, ...part } : one)));
  return (
    <fieldset class="addresses">
      <legend>Addresses</legend>
      {!first && <p class="hint">There is no channel yet. <a href="/settings">Create one in the settings.</a></p>}
      {addresses.map((one, at) => (
        <div class="address" key={at}>
          <Select id={`address-channel-${at}`} label="Channel" value={one.channel} options={names} onChange={(channel) => change(at, { channel, verified_at: null })} />
          <Field id={`address-${at}`} label="Address" hint="Empty: the channel's own.">
            <input id={`address-${at}`} type="text" autocomplete="off" spellcheck={false} aria-describedby={`address-${at}-hint`}
              value={one.address} onInput={(event) => change(at, { address: event.currentTarget.value.trim(), verified_at: null })} />
          </Field>
          <button type="button" aria-label={`Remove address ${at + 1}`} onClick={() => onChange(addresses.filter((_, index) => index !== at))}>Remove</button>
        </div>
      ))}
      {first && <button type="button" onClick={() => onChange([...addresses, { channel: first, address: "", verified_at: null }])}>Add an address</button>}
    </fieldset>
  );
}
