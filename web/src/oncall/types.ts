/** The API's answers about schedules and contacts. */

export interface OnCallNow {
  schedule: string;
  title: string;
  at: string;
  people: string[];
  /** Null: they do not change within 400 days. */
  until: string | null;
}

export interface Shift {
  starts_at: string;
  ends_at: string;
  people: string[];
}

export interface Override {
  id: number;
  starts_at: string;
  ends_at: string;
  out: string | null;
  in: string | null;
  everyone: boolean;
  created_by: string;
}

export interface Schedule {
  id: number;
  name: string;
  title: string;
  tz: string;
  overrides: Override[];
  has_calendar: boolean;
}

export interface Address {
  channel: string;
  address: string;
  verified_at: string | null;
}

export interface Contact {
  id: number;
  name: string;
  title: string;
  tz: string;
  language: string;
  addresses: Address[];
  mute_until: string | null;
  has_calendar: boolean;
}

/** A schedule with all data that the page shows. */
export interface Duty {
  schedule: Schedule;
  now: OnCallNow;
  /** From now on, without gaps, up to the last known end. The first one is the present shift. */
  shifts: Shift[];
}
