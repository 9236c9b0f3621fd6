/** What the API says of people on call. */

export interface OnCallNow {
  schedule: string;
  title: string;
  at: string;
  people: string[];
  /** Null: they do not change for over a year. */
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

/** A schedule with everything that the page shows of it. */
export interface Duty {
  schedule: Schedule;
  now: OnCallNow;
  /** From now on, without gaps, as far as their ends are known; the first one is the present. */
  shifts: Shift[];
}
