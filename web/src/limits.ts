/** Limits of the service that the page needs. tests/web/test_limits.py checks that they are equal. */

/** A series without a new value for this long is shown with its age. */
export const SILENT_S = 60;
/** Most series of one subscription. */
export const SUBSCRIBED_SERIES_MAX = 500;
export const MESSAGE_BYTES_MAX = 65_536;
/** Most label conditions of one history query. */
export const CONDITIONS_MAX = 20;
