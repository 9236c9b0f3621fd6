/** What the API says of channels. */

import type { Level } from "../types.ts";

export interface Channel {
  id: number;
  name: string;
  title: string;
  type: string;
  settings: Record<string, unknown>;
  min_level: Level;
  language: string;
  tz: string;
  enabled: boolean;
  updated_at: string;
  updated_by: string;
}

/** What came of a test message. */
export interface Tested {
  key: string;
  state: "sent" | "failed";
  sent: string;
  status: number;
  answer: string;
  error: string;
}
