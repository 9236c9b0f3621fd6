import assert from "node:assert/strict";
import { test } from "node:test";
import type { Contact, Override } from "../src/oncall/types.ts";
import { addressText, formatMoment, momentOf, namesOf, overrideText, reachText, spanText, untilText, withPerson } from "../src/oncall/words.ts";

const NOW = Date.parse("2026-03-02T03:00:00Z") / 1000;
const ANA: Contact = {
  id: 1, name: "ana", title: "Ana Lima", tz: "UTC", language: "en", addresses: [], mute_until: null, has_calendar: false,
};
const CONTACTS = new Map([["ana", ANA]]);
const OVERRIDE: Override = {
  id: 1, starts_at: "", ends_at: "", out: null, in: "ana", everyone: true, created_by: "bo",
};

test("people are called by their own name, and nobody is said", () => {
  assert.equal(namesOf(["ana", "bo"], CONTACTS), "Ana Lima and bo");
  assert.equal(namesOf([], CONTACTS), "Nobody");
});

test("a shift says until when it lasts and how long that is", () => {
  assert.match(untilText("2026-03-03T09:00:00Z", NOW), /^Until Tue \d\d:\d\d, for 1\u00a0d 6\u00a0h$/);
  assert.equal(untilText(null, NOW), "No other shift follows within a year");
  assert.match(formatMoment(NOW + 20 * 86_400, NOW), /\b22 Mar\b/);
});

test("a shift of one day says the day once", () => {
  assert.match(spanText("2026-03-20T11:00:00", "2026-03-20T12:30:00", NOW), /^Fri 20 Mar 11:00 to 12:30$/);
  assert.match(spanText("2026-03-20T11:00:00", "2026-03-21T12:30:00", NOW), /^Fri 20 Mar 11:00 to Sat 21 Mar 12:30$/);
});

test("an override says who came and who went", () => {
  assert.equal(overrideText(OVERRIDE, CONTACTS), "Ana Lima took the shift");
  assert.equal(overrideText({ ...OVERRIDE, everyone: false, out: "bo" }, CONTACTS), "Ana Lima instead of bo");
  assert.equal(overrideText({ ...OVERRIDE, everyone: false }, CONTACTS), "Ana Lima as well");
  assert.equal(overrideText({ ...OVERRIDE, everyone: false, in: null, out: "ana" }, CONTACTS), "Ana Lima is not on call");
});

test("whoever is not reached is told apart", () => {
  assert.match(reachText(ANA, NOW), /Has no address/);
  const reached = { ...ANA, addresses: [{ channel: "sms", address: "+1", verified_at: null }] };
  assert.equal(reachText(reached, NOW), "");
  assert.match(reachText({ ...reached, mute_until: "2026-03-02T05:00:00Z" }, NOW), /^Muted until/);
  assert.equal(addressText({ channel: "push", address: "{\"endpoint\":1}", verified_at: null }), "push");
  assert.equal(addressText({ channel: "sms", address: "+1", verified_at: null }), "+1 by sms");
});

test("people take turns in the order in which they were chosen", () => {
  assert.deepEqual(withPerson(withPerson([], "bo"), "ana"), ["bo", "ana"]);
  assert.deepEqual(withPerson(["bo", "ana"], "bo"), ["ana"]);
});

test("a local time is a moment, and none is none", () => {
  assert.equal(momentOf(""), undefined);
  assert.equal(momentOf("2026-03-02T09:00"), new Date("2026-03-02T09:00").toISOString());
});
