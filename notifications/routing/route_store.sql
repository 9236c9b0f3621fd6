-- name: insert
INSERT INTO routes (name, title, position, matcher, goes_on, policy_id, group_by, group_wait_s, group_interval_s,
    repeat_s,
                    quiet_hours, tz, enabled, updated_at, updated_by)
SELECT %(name)s, %(title)s, count(*) + 1, %(matcher)s, %(goes_on)s, (SELECT id FROM policies WHERE name = %(policy)s),
       %(group_by)s, %(group_wait_s)s, %(group_interval_s)s, %(repeat_s)s, %(quiet_hours)s, %(tz)s, %(enabled)s,
           %(now)s,
       %(actor)s
FROM routes

-- name: update
UPDATE routes
SET title = %(title)s, matcher = %(matcher)s, goes_on = %(goes_on)s,
    policy_id = (SELECT id FROM policies WHERE name = %(policy)s), group_by = %(group_by)s,
        group_wait_s = %(group_wait_s)s,
    group_interval_s = %(group_interval_s)s, repeat_s = %(repeat_s)s, quiet_hours = %(quiet_hours)s, tz = %(tz)s,
    enabled = %(enabled)s, updated_at = %(now)s, updated_by = %(actor)s
WHERE name = %(name)s

-- name: write_channels
WITH wanted AS (
    SELECT r.id AS route_id, c.id AS channel_id, w.position
    FROM unnest(%(channels)s::text[]) WITH ORDINALITY AS w (channel, position)
    JOIN channels c ON c.name = w.channel
    JOIN routes r ON r.name = %(name)s
), removed AS (
    DELETE FROM route_channels o
    USING routes r
    WHERE r.name = %(name)s AND o.route_id = r.id AND o.channel_id NOT IN (SELECT channel_id FROM wanted)
)
INSERT INTO route_channels (route_id, channel_id, position)
SELECT route_id, channel_id, position FROM wanted
ON CONFLICT (route_id, channel_id) DO UPDATE SET position = excluded.position

-- name: place
-- Moves a route to its position and renumbers all routes without gaps. The half step puts it between its neighbours.
WITH other AS (
    SELECT id, row_number() OVER (ORDER BY position, id)::double precision AS place
    FROM routes
    WHERE name IS DISTINCT FROM %(name)s::text
), placed AS (
    SELECT id, row_number() OVER (ORDER BY place) AS position
    FROM (
        SELECT id, place FROM other
        UNION ALL
        SELECT id, coalesce(%(position)s::integer, position) - 0.5 FROM routes WHERE name = %(name)s::text
    ) all_of_them
)
UPDATE routes r
SET position = p.position
FROM placed p
WHERE r.id = p.id AND r.position <> p.position

-- name: delete
DELETE FROM routes WHERE name = %(name)s

-- name: read
SELECT r.id, r.name, r.title, r.position, r.matcher, r.goes_on, p.name AS policy, r.group_by, r.group_wait_s,
       r.group_interval_s,
       r.repeat_s, r.quiet_hours, r.tz, r.enabled, r.updated_at, r.updated_by,
       ARRAY(
           SELECT c.name
           FROM route_channels o
           JOIN channels c ON c.id = o.channel_id
           WHERE o.route_id = r.id
           ORDER BY o.position
       ) AS channels
FROM routes r
LEFT JOIN policies p ON p.id = r.policy_id
WHERE (%(name)s::text IS NULL OR r.name = %(name)s) AND r.position > %(after)s AND (r.enabled OR NOT %(enabled)s)
ORDER BY r.position, r.id
LIMIT %(limit)s

-- name: channels
SELECT name FROM channels ORDER BY name

-- name: routes_of_channel
SELECT r.name
FROM route_channels o
JOIN routes r ON r.id = o.route_id
WHERE o.channel_id = %(channel_id)s
ORDER BY r.position
