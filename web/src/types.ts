/** The parts of API responses and WebSocket messages that the page reads. */

export type Status = "healthy" | "warning" | "critical" | "down";
export type Level = "info" | "warning" | "critical" | "emergency";
export type Labels = Record<string, string>;

/** The identity of a series in requests. */
export interface SeriesName {
  component: string;
  metric: string;
  labels: Labels;
}

export interface ComponentHealth {
  status: Status | null;
  since: string;
  reason: string;
  maintenance: boolean;
  uptime_24h: number | null;
  last_check: string;
}

export interface Health {
  status: Status | null;
  components: Record<string, ComponentHealth>;
}

export interface MetricNow {
  unit: string;
  value?: number;
  time?: string;
  series?: { labels: Labels; value: number; time: string }[];
}

export interface CurrentMetrics {
  time: string | null;
  components: Record<string, { category: string; metrics: Record<string, MetricNow> }>;
}

export interface Alert {
  id: number;
  level: Level;
  component: string;
  labels: Labels;
  title: string;
  message: string;
  opened_at: string;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  suppressed_by: string[];
  resolved_at: string | null;
  /** The metric of its series; null for a composite, a test and the like. */
  metric: string | null;
  runbook: string | null;
}

export interface History {
  step_s: number;
  time: number[];
  series: {
    labels: Labels;
    values: { avg: (number | null)[]; count: (number | null)[] };
  }[];
}

interface Content {
  hello: { version: string; resumed: boolean };
  metrics: CurrentMetrics;
  health: Health;
  alerts: { snapshot: boolean; alerts: Alert[]; has_more?: boolean };
  alert_resolved: Alert;
  lagged: { after: number };
  error: { message: string };
  pong: object;
}

export type Message = {
  [Type in keyof Content]: { type: Type; seq: number; time: string; data: Content[Type] };
}[keyof Content];
