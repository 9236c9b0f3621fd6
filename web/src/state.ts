/** The present state of the page, and how each message changes it. Pure. */

import type { Alert, ComponentHealth, CurrentMetrics, Labels, Message, Status } from "./types.ts";
import { isCurrent } from "./wording.ts";

/** The newest value of one series. */
export interface Value {
  key: string;
  metric: string;
  labels: Labels;
  unit: string;
  value: number;
  time: number;
}

export interface ComponentValues {
  category: string;
  values: ReadonlyMap<string, Value>;
}

export interface State {
  /** Whether the first whole state has arrived. */
  isComplete: boolean;
  status: Status | null;
  health: ReadonlyMap<string, ComponentHealth>;
  values: ReadonlyMap<string, ComponentValues>;
  /** Changes whenever the set of series changes, or the unit or category of one. */
  members: number;
  alerts: ReadonlyMap<number, Alert>;
  hasMoreAlerts: boolean;
  /** The topics whose next message replaces the state instead of adding to it. */
  replaces: ReadonlySet<"metrics" | "health">;
}

export const EMPTY: State = {
  isComplete: false,
  status: null,
  health: new Map(),
  values: new Map(),
  members: 0,
  alerts: new Map(),
  hasMoreAlerts: false,
  replaces: new Set(),
};

const WHOLE: State["replaces"] = new Set(["metrics", "health"]);
const LEVELS = ["info", "warning", "critical", "emergency"];

export function reduce(state: State, message: Message): State {
  switch (message.type) {
    case "hello":
      return message.data.resumed ? state : { ...state, replaces: WHOLE };
    case "lagged":
      return { ...state, replaces: WHOLE };
    case "metrics":
      return withMetrics(state, [message.data]);
    case "health": {
      const before = state.replaces.has("health") ? [] : state.health;
      const health = new Map([...before, ...Object.entries(message.data.components)]);
      return { ...without(state, "health"), health, status: message.data.status };
    }
    case "alerts":
      return withAlerts(state, message.data);
    case "alert_resolved":
      return withAlerts(state, { snapshot: false, alerts: [message.data] });
    default:
      return state;
  }
}

/** Apply messages in order. Consecutive messages with values are applied together. */
export function reduceAll(state: State, messages: readonly Message[]): State {
  let now = state;
  let values: CurrentMetrics[] = [];
  const put = () => {
    if (values.length > 0) now = withMetrics(now, values);
    values = [];
  };
  for (const message of messages) {
    if (message.type === "metrics") {
      values.push(message.data);
    } else {
      put();
      now = reduce(now, message);
    }
  }
  put();
  return now;
}

/** Those about old values last, most severe first, newest first among equals. */
export function sortedAlerts(alerts: ReadonlyMap<number, Alert>): Alert[] {
  return [...alerts.values()].sort(
    (a, b) => Number(isCurrent(b)) - Number(isCurrent(a)) || LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level) || b.id - a.id,
  );
}

/** The values of a message, one for each series. */
export function valuesOf(metrics: CurrentMetrics["components"][string]["metrics"]): Value[] {
  return Object.entries(metrics).flatMap(([metric, now]) => {
    const own =
      now.value === undefined || now.time === undefined
        ? []
        : [{ labels: {}, value: now.value, time: now.time }];
    return [...own, ...(now.series ?? [])].map(({ labels, value, time }) => ({
      key: keyOf(metric, labels),
      metric,
      labels,
      unit: now.unit,
      value,
      time: Date.parse(time) / 1000,
    }));
  });
}

export function keyOf(metric: string, labels: Labels): string {
  return JSON.stringify([metric, ...Object.entries(labels).sort()]);
}

/** Replace all values by those of the API, except values that are newer here. */
export function withEverything(state: State, data: CurrentMetrics): State {
  const whole = withMetrics({ ...state, replaces: WHOLE }, [data]);
  const values = new Map([...whole.values].map(([name, group]) => {
    const before = state.values.get(name)?.values;
    const newest = [...group.values].map(([key, value]): [string, Value] => [key, newer(before?.get(key), value)]);
    return [name, { ...group, values: new Map(newest) }];
  }));
  return { ...whole, values, replaces: state.replaces };
}

/** Copies the values of a component once, however many messages concern it. */
function withMetrics(state: State, messages: readonly CurrentMetrics[]): State {
  const replaces = state.replaces.has("metrics");
  const values = new Map(replaces ? [] : state.values);
  const copies = new Map<string, Map<string, Value>>();
  let isSame = !replaces;
  for (const [name, { category, metrics }] of messages.flatMap(({ components }) => Object.entries(components))) {
    const before = values.get(name);
    const known = copies.get(name) ?? new Map(before?.values);
    isSame &&= before?.category === category;
    for (const value of valuesOf(metrics)) {
      isSame &&= known.get(value.key)?.unit === value.unit;
      known.set(value.key, value);
    }
    copies.set(name, known);
    values.set(name, { category, values: known });
  }
  return { ...without(state, "metrics"), values, members: isSame ? state.members : state.members + 1 };
}

function newer(before: Value | undefined, value: Value): Value {
  return before && before.time > value.time ? before : value;
}

function withAlerts(
  state: State,
  data: { snapshot: boolean; alerts: Alert[]; has_more?: boolean },
): State {
  const alerts = new Map(data.snapshot ? [] : state.alerts);
  for (const alert of data.alerts) {
    if (alert.resolved_at === null) alerts.set(alert.id, alert);
    else alerts.delete(alert.id);
  }
  return {
    ...state,
    alerts,
    isComplete: state.isComplete || data.snapshot,
    hasMoreAlerts: data.has_more ?? state.hasMoreAlerts,
  };
}

function without(state: State, topic: "metrics" | "health"): State {
  if (!state.replaces.has(topic)) return state;
  return { ...state, replaces: new Set([...state.replaces].filter((other) => other !== topic)) };
}
