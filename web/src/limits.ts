/** Limits of the service that the page has to know; tests/web/test_limits.py holds them equal. */

/** A series is silent after so long: so long does a collector have. */
export const SILENT_S = 60;
/** Of one subscription. */
export const SUBSCRIBED_SERIES_MAX = 500;
export const MESSAGE_BYTES_MAX = 65_536;
/** Labels that one question about the past may name. */
export const CONDITIONS_MAX = 20;
