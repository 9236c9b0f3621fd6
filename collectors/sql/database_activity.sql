-- Client connections by state. Every state has a row, so that a state without connections counts 0.
SELECT state.label_state,
       count(client.label_state) AS database_connections
FROM   (VALUES ('active'), ('idle'), ('idle in transaction'), ('other')) AS state (label_state)
LEFT   JOIN (
         SELECT CASE
                  WHEN state IN ('active', 'idle') THEN state
                  WHEN starts_with(state, 'idle in transaction') THEN 'idle in transaction'
                  ELSE 'other'
                END AS label_state
         FROM   pg_stat_activity
         WHERE  datname = current_database() AND backend_type = 'client backend'
       ) AS client USING (label_state)
-- The embedded engine does not list even this session. There the result is empty, rather than 0.
WHERE  EXISTS (SELECT FROM pg_stat_activity WHERE pid = pg_backend_pid())
GROUP  BY state.label_state
