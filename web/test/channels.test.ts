import assert from "node:assert/strict";
import { test } from "node:test";
import { bodyOf, draftOf, emptyDraft, isNeeded } from "../src/channels/draft.ts";
import type { Channel, Delivery, FormField, TypeForm } from "../src/channels/types.ts";
import { causeOf, recipientOf, sentence, subjectOf } from "../src/channels/words.ts";

const FIELD: FormField = { name: "url", is_setting: false, label: "", hint: "", example: "", kind: "text", is_required: true };
const MAIL: TypeForm = {
  type: "email",
  title: "E-mail",
  about: "",
  fields: [
    FIELD,
    { ...FIELD, name: "to", is_setting: true, kind: "list" },
    { ...FIELD, name: "plain", is_setting: true, kind: "switch", is_required: false },
    { ...FIELD, name: "topic", is_setting: true, kind: "number", is_required: false },
    { ...FIELD, name: "secret", kind: "write_only", is_required: false },
  ],
};
const CHANNEL: Channel = {
  id: 1, name: "ops", title: "", type: "email", settings: { to: ["a@x.org", "b@x.org"], plain: true, topic: null },
  min_level: "critical", language: "en", tz: "UTC", enabled: true, updated_at: "", updated_by: "",
};
const DELIVERY: Delivery = {
  id: 1, kind: "alert", event: "opened", channel: "ops", address: "", person: null, state: "failed", attempts: 1,
  created_at: "", next_at: "", sent_at: null, status: 403, answer: "no", last_error: "the provider answered 403",
  alert: { id: 4, title: "CPU high", level: "critical" },
};

test("a new channel has what was entered, and nothing for what was left empty", () => {
  const draft = emptyDraft("email", "Europe/Lisbon");
  const values = { url: " smtp://x ", to: "a@x.org,\n b@x.org\n", topic: "7", secret: "" };
  const body = bodyOf({ ...draft, name: "ops", values }, MAIL);
  assert.deepEqual(body["settings"], { to: ["a@x.org", "b@x.org"], topic: 7 });
  assert.equal(body["url"], "smtp://x");
  assert.equal("secret" in body, false);
  assert.equal(body["tz"], "Europe/Lisbon");
});

test("a channel that is changed keeps its address, its secret and its settings", () => {
  const body = bodyOf(draftOf(CHANNEL, MAIL), MAIL);
  assert.deepEqual(body["settings"], { to: ["a@x.org", "b@x.org"], plain: true });
  assert.equal("url" in body || "secret" in body, false);
  assert.equal(body["min_level"], "critical");
});

test("an address is asked for once, a setting always", () => {
  assert.deepEqual([true, false].map((isNew) => isNeeded(FIELD, isNew)), [true, false]);
  assert.equal(isNeeded({ ...FIELD, is_setting: true }, false), true);
  assert.equal(isNeeded({ ...FIELD, kind: "switch" }, true), false);
});

test("a delivery says what it was about, to whom it went and why it failed", () => {
  assert.equal(subjectOf(DELIVERY), "CPU high: opened");
  assert.equal(subjectOf({ ...DELIVERY, alert: null, event: "test" }), "Test message");
  assert.equal(recipientOf({ ...DELIVERY, person: "ana", address: "{\"endpoint\":1}" }), "ops · ana · browser");
  assert.equal(causeOf(DELIVERY), "the provider answered 403: no");
  assert.equal(causeOf({ ...DELIVERY, state: "sent" }), "");
  assert.equal(sentence("no answer"), "No answer.");
});
