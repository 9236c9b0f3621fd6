-- Channels of the type events send what happens on the bus: each has a cursor.

CREATE TABLE event_cursors (
    channel_id bigint PRIMARY KEY REFERENCES channels (id) ON DELETE CASCADE,
    seq        bigint NOT NULL
);
COMMENT ON TABLE event_cursors IS 'How far each enabled channel of the type events has followed the bus.';
COMMENT ON COLUMN event_cursors.channel_id IS 'The channel.';
COMMENT ON COLUMN event_cursors.seq IS 'The newest event that the outbox has, or that the channel does not want.';

COMMENT ON COLUMN notifications.kind IS 'alert, incident, maintenance, on_call, account, report, events (of the bus), test or canary (of the watchdog).';
COMMENT ON COLUMN notifications.event IS 'opened, escalated, lowered, acknowledged, resolved, reminder, group, test, shift_started, shift_ended, code, events or canary.';
COMMENT ON COLUMN notifications.payload IS 'The alert as it was then, the alerts of a group by number, the seq of events, or what else the message is made from.';
