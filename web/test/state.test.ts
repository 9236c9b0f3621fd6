import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, keyOf, reduce, reduceAll, sortedAlerts, withEverything, type State } from "../src/state.ts";
import type { Alert, CurrentMetrics, Message } from "../src/types.ts";

const T0 = "2026-11-23T12:00:00Z";
const alert: Alert = {
  id: 1, level: "warning", component: "server", labels: {}, title: "CPU", message: "", opened_at: T0,
  acknowledged_at: null, acknowledged_by: null, suppressed_by: [], resolved_at: null,
  metric: null, runbook: null,
};

function after(state: State, ...contents: Pick<Message, "type" | "data">[]): State {
  return contents.reduce((now, content) => reduce(now, { seq: 1, time: T0, ...content } as Message), state);
}

function metrics(metric: string, value: number, component = "server"): Pick<Message, "type" | "data"> {
  const found = { [metric]: { unit: "percent", value, time: T0 } };
  return { type: "metrics", data: { time: T0, components: { [component]: { category: "system", metrics: found } } } };
}

function health(name: string, status: "healthy" | "down" | null): Pick<Message, "type" | "data"> {
  const one = { status, since: T0, reason: "", maintenance: false, uptime_24h: 100, last_check: T0 };
  return { type: "health", data: { status, components: { [name]: one } } };
}

const hello = (resumed: boolean): Pick<Message, "type" | "data"> => ({ type: "hello", data: { version: "1", resumed } });
const alerts = (snapshot: boolean, ...found: Alert[]): Pick<Message, "type" | "data"> =>
  ({ type: "alerts", data: { snapshot, alerts: found } });

test("changed values are merged and the others stay", () => {
  const state = after(EMPTY, hello(false), metrics("cpu", 1), metrics("memory", 2), metrics("cpu", 3), metrics("cpu", 9, "db"));

  const server = state.values.get("server")?.values;
  assert.equal(server?.get(keyOf("cpu", {}))?.value, 3);
  assert.equal(server?.get(keyOf("memory", {}))?.value, 2);
  assert.deepEqual([...state.values.keys()], ["server", "db"]);
});

test("series are told apart by their labels in any order", () => {
  assert.equal(keyOf("m", { a: "1", b: "2" }), keyOf("m", { b: "2", a: "1" }));
  assert.notEqual(keyOf("m", { a: "1" }), keyOf("m", { a: "2" }));
});

test("a whole state replaces what was known, after hello and after lagged alike", () => {
  for (const begin of [hello(false), { type: "lagged", data: { after: 1 } } as const]) {
    const before = after(EMPTY, hello(false), metrics("cpu", 1), health("old", "down"));
    const state = after(before, begin, metrics("cpu", 2, "db"), health("new", "healthy"), metrics("cpu", 3));

    assert.deepEqual([...state.values.keys()], ["db", "server"]);
    assert.deepEqual([...state.health.keys()], ["new"]);
    assert.equal(state.status, "healthy");
  }
});

test("a resumed connection keeps what was known", () => {
  const state = after(EMPTY, hello(false), health("a", "down"), hello(true), health("b", null));

  assert.deepEqual([...state.health.keys()], ["a", "b"]);
});

test("names of JavaScript's own are names like others", () => {
  const data = JSON.parse(`{"time": null, "components": {"__proto__": {"category": "x", "metrics":
    {"constructor": {"unit": "", "value": 1, "time": "${T0}"}}}}}`);
  const state = after(EMPTY, { type: "metrics", data });

  assert.equal(state.values.get("__proto__")?.values.get(keyOf("constructor", {}))?.value, 1);
});

test("alerts open, change and go, loudest first", () => {
  const loud: Alert = { ...alert, id: 2, level: "emergency" };
  const newer: Alert = { ...alert, id: 3 };
  const open = after(EMPTY, alerts(true, alert), alerts(false, loud, newer));

  assert.equal(open.isComplete, true);
  assert.deepEqual(sortedAlerts(open.alerts).map(({ id }) => id), [2, 3, 1]);
  const acknowledged = after(open, alerts(false, { ...alert, acknowledged_by: "ana", acknowledged_at: T0 }));
  assert.equal(acknowledged.alerts.get(1)?.acknowledged_by, "ana");
  const closed = after(open, { type: "alert_resolved", data: { ...loud, resolved_at: T0 } });
  assert.deepEqual(sortedAlerts(closed.alerts).map(({ id }) => id), [3, 1]);
  assert.equal(after(closed, alerts(true)).alerts.size, 0);
  const old = after(open, alerts(false, { ...loud, suppressed_by: ["silent:web2"] }));
  assert.deepEqual(sortedAlerts(old.alerts).map(({ id }) => id), [3, 1, 2]);
});

test("the number of members changes with the series and not with their values", () => {
  const first = after(EMPTY, hello(false), metrics("cpu", 1));
  const members = (state: State, ...more: Pick<Message, "type" | "data">[]) => after(state, ...more).members;

  assert.equal(members(first, metrics("cpu", 2)), first.members);
  assert.notEqual(members(first, metrics("memory", 2)), first.members);
  assert.notEqual(members(first, metrics("cpu", 2, "db")), first.members);
  assert.notEqual(members(first, hello(false), metrics("cpu", 2)), first.members);
});

test("the answer about everything removes what is gone, and is older than what came live", () => {
  const whole = (time: string): CurrentMetrics => ({
    time, components: { server: { category: "system", metrics: { cpu: { unit: "percent", value: 5, time } } } },
  });
  const state = after(EMPTY, hello(false), metrics("cpu", 1), metrics("gone", 2), metrics("cpu", 9, "away"));
  const values = (time: string) => withEverything(state, whole(time)).values;

  assert.deepEqual([...values(T0).keys()], ["server"]);
  assert.deepEqual([...values(T0).get("server")?.values.values() ?? []].map(({ value }) => value), [5]);
  const earlier = values("2026-11-23T11:59:00Z");
  assert.deepEqual([...earlier.get("server")?.values.values() ?? []].map(({ value }) => value), [1]);
});

test("messages taken together leave what they leave one by one, and the state before as it was", () => {
  const contents = [
    hello(false), metrics("cpu", 1), metrics("cpu", 2), metrics("memory", 3, "db"), alerts(true, alert),
    metrics("cpu", 4), hello(false), metrics("cpu", 5, "db"), metrics("load", 6, "db"), health("db", "down"),
  ];
  const messages = contents.map((content) => ({ seq: 1, time: T0, ...content }) as Message);
  const first = reduceAll(EMPTY, messages.slice(0, 6));
  const { members: _, ...together } = reduceAll(first, messages.slice(6));
  const { members: __, ...apart } = after(EMPTY, ...contents);

  assert.deepEqual(together, apart);
  assert.equal(first.values.get("db")?.values.size, 1);
});
