import type { Level } from "../types.ts";

/** The levels of alerts, the least severe first. */
export const LEVELS: readonly Level[] = ["info", "warning", "critical", "emergency"];
