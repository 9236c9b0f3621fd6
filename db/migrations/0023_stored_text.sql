-- Texts that were stored while C1 controls, line separators and marks of text direction were still allowed:
-- the service refuses them now, and would not read its own settings and rules.

CREATE FUNCTION pg_temp.cleaned(given text) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT regexp_replace(given, '[\u0080-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]', ' ', 'g') $$;

UPDATE monitoring_config SET value = pg_temp.cleaned(value::text)::jsonb
WHERE value::text <> pg_temp.cleaned(value::text);

UPDATE alert_rules
SET component = pg_temp.cleaned(component),
    labels = pg_temp.cleaned(labels::text)::jsonb,
    sql = pg_temp.cleaned(sql),
    runbook = pg_temp.cleaned(runbook),
    error = pg_temp.cleaned(error)
WHERE concat(component, labels, sql, runbook, error)
   <> pg_temp.cleaned(concat(component, labels, sql, runbook, error));

UPDATE alert_silences
SET matcher = pg_temp.cleaned(matcher::text)::jsonb, comment = pg_temp.cleaned(comment)
WHERE concat(matcher, comment) <> pg_temp.cleaned(concat(matcher, comment));

UPDATE maintenance_windows
SET matcher = pg_temp.cleaned(matcher::text)::jsonb, comment = pg_temp.cleaned(comment)
WHERE concat(matcher, comment) <> pg_temp.cleaned(concat(matcher, comment));

DROP FUNCTION pg_temp.cleaned;
