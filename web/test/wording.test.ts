import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff } from "../src/backoff.ts";
import type { Alert, ComponentHealth, Status } from "../src/types.ts";
import { alertNews, coverage, headline, isWebAddress, suppressedText, reasonText, statusText } from "../src/wording.ts";

function one(status: Status | null, reason = ""): ComponentHealth {
  return { status, since: "", reason, maintenance: false, uptime_24h: null, last_check: "" };
}

test("null is said as what it is", () => {
  const unset = one(null, "not configured: set VIGIA_TRADING_DATABASE_URL");

  assert.deepEqual([statusText(unset), reasonText(unset)], ["Not configured", "Set VIGIA_TRADING_DATABASE_URL"]);
  assert.deepEqual([statusText(one(null, "not observed")), reasonText(one(null, "not observed"))], ["Not observed", ""]);
  assert.equal(reasonText(one("down", "refused")), "refused");
});

test("only an address of the web becomes a link", () => {
  assert.equal(isWebAddress("https://wiki.example.com/cpu"), true);
  assert.equal(isWebAddress("ftp://wiki.example.com"), false);
  assert.equal(isWebAddress("restart it, see https://wiki.example.com"), false);
});

test("the headline names the worst", () => {
  const health = new Map([["a", one("down")], ["b", one("down")], ["c", one("warning")], ["d", one(null)]]);

  assert.equal(headline("down", health, 2), "a and b are down");
  assert.equal(headline("warning", health, 2), "c needs attention");
  assert.equal(headline("critical", new Map(), 0), "Something is critical");
  assert.equal(headline("healthy", health, 0), "Everything is healthy");
  assert.equal(headline("healthy", health, 1), "Healthy, with 1 active alert");
  assert.equal(headline(null, health, 0), "Nothing is observed yet");
  assert.equal(coverage(health), "3 of 4 components observed");
});

test("only what opened or closed is announced", () => {
  const [a, b] = [{ id: 1, level: "warning", title: "A" }, { id: 2, level: "info", title: "B" }] as [Alert, Alert];

  assert.equal(alertNews(new Map([[1, a]]), new Map([[2, b]])), "New info alert: B. Resolved: A");
  assert.equal(alertNews(new Map([[1, a]]), new Map([[1, a]])), "");
});

test("what suppresses an alert is said in words", () => {
  assert.equal(suppressedText([]), "");
  assert.equal(suppressedText(["silence:3"]), "suppressed by silence 3");
  assert.equal(
    suppressedText(["dependency:database", "maintenance:backup"]),
    "suppressed by dependency database and maintenance backup",
  );
  assert.equal(
    suppressedText(["silence:3", "silent:web2"]),
    "web2 stopped sending, so this is old · suppressed by silence 3",
  );
});

test("each wait is longer, up to half a minute, and never the same for all", () => {
  assert.deepEqual([0, 1, 2].map((attempt) => backoff(attempt, () => 1)), [500, 1000, 2000]);
  assert.equal(backoff(0, () => 0), 250);
  assert.equal(backoff(2000, () => 1), 30_000);
});
