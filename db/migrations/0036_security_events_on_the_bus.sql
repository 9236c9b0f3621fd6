-- The bus has the events of the security audit too.

COMMENT ON TABLE events IS 'Transitions of alerts and health, and the security audit, in the order of their commits; live clients resume from it.';
COMMENT ON COLUMN events.type IS 'alerts, alert_resolved or health as live clients receive them, or security. and a type of security_events, for channels.';
COMMENT ON COLUMN events.payload IS 'The data of the message as clients and channels receive it.';
