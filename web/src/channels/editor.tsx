/** Creates or changes a channel. The fields depend on its type. */

import { useSignal } from "@preact/signals";
import { Dialog } from "../forms/dialog.tsx";
import { Field, Select } from "../forms/field.tsx";
import { LEVELS } from "../forms/levels.ts";
import { useTask } from "../forms/task.ts";
import type { Level } from "../types.ts";
import { draftOf, emptyDraft, isNeeded, type Draft } from "./draft.ts";
import { forms, save } from "./store.ts";
import { TypeField } from "./type-field.tsx";
import type { Channel, TypeForm } from "./types.ts";

const FIRST = "webhook";
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const LANGUAGES = [["en", "English"], ["pt-BR", "Português (Brasil)"]] as const;
const LEVEL_NAMES = LEVELS.map((level): [Level, string] => [level, level]);

interface Props {
  channel?: Channel | undefined;
  onSaved: (channel: Channel) => void;
  onClose: () => void;
}

export function Editor({ channel, onSaved, onClose }: Props) {
  const first = forms.value.find(({ type }) => type === (channel?.type ?? FIRST));
  const draft = useSignal<Draft>(channel && first ? draftOf(channel, first) : emptyDraft(first?.type ?? FIRST, ZONE));
  const task = useTask();
  const form = forms.value.find(({ type }) => type === draft.value.type);
  if (!form) return null;

  const change = (part: Partial<Draft>) => (draft.value = { ...draft.value, ...part });
  const submit = async (event: Event) => {
    event.preventDefault();
    let saved: Channel | undefined;
    if (await task.run(async () => void (saved = await save(draft.value, form, channel))) && saved) onSaved(saved);
  };
  const title = channel ? `Edit ${channel.title || channel.name}` : "New channel";
  return (
    <Dialog title={title} onClose={onClose}>
      <form class="fields" onSubmit={submit}>
        {!channel && (
          <Select id="channel-type" label="Type" value={draft.value.type} options={forms.value.map(({ type, title }) => [type, title] as const)}
            onChange={(type) => change({ type, values: {} })} />
        )}
        <p class="hint">{form.about}</p>
        <Field id="channel-name" label="Name" hint="Letters, digits, _ . and -, without spaces.">
          <input id="channel-name" type="text" required maxLength={100} pattern="[A-Za-z0-9_.\-]+" autocomplete="off" spellcheck={false}
            aria-describedby="channel-name-hint" value={draft.value.name} onInput={(event) => change({ name: event.currentTarget.value })} />
        </Field>
        <Field id="channel-title" label="Title" isOptional>
          <input id="channel-title" type="text" maxLength={200} autocomplete="off" value={draft.value.title}
            onInput={(event) => change({ title: event.currentTarget.value })} />
        </Field>
        <TypeFields form={form} draft={draft.value} isNew={!channel} onChange={change} />
        <div class="row">
          <Select id="channel-level" label="From level" value={draft.value.min_level} options={LEVEL_NAMES} onChange={(min_level) => change({ min_level })} />
          <Select id="channel-language" label="Language" value={draft.value.language} options={LANGUAGES} onChange={(language) => change({ language })} />
        </div>
        <Field id="channel-tz" label="Time zone" hint="Of the times in messages.">
          <input id="channel-tz" type="text" list="zones" required autocomplete="off" spellcheck={false} aria-describedby="channel-tz-hint"
            value={draft.value.tz} onInput={(event) => change({ tz: event.currentTarget.value })} />
          <datalist id="zones">{Intl.supportedValuesOf("timeZone").map((zone) => <option key={zone} value={zone} />)}</datalist>
        </Field>
        <label class="check">
          <input type="checkbox" checked={draft.value.enabled} onChange={(event) => change({ enabled: event.currentTarget.checked })} />
          Enabled
        </label>
        <p class="problem" role="alert">{task.problem}</p>
        <div class="actions">
          <button type="submit" class="primary" disabled={task.isBusy}>{channel ? "Save" : "Create channel"}</button>
          <button type="button" onClick={onClose}>Cancel</button>
        </div>
      </form>
    </Dialog>
  );
}

function TypeFields({ form, draft, isNew, onChange }: {
  form: TypeForm;
  draft: Draft;
  isNew: boolean;
  onChange: (part: Partial<Draft>) => void;
}) {
  return form.fields.map((field) => (
    <TypeField
      key={`${form.type} ${field.name}`}
      field={field}
      isNew={isNew}
      isNeeded={isNeeded(field, isNew)}
      value={draft.values[field.name]}
      onChange={(value) => onChange({ values: { ...draft.values, [field.name]: value } })}
    />
  ));
}
