-- title: Who used a resource
-- question: Which calls list this ARN among their resources, by whom and how often?
-- param: arn text its ARN
SELECT
  t.eventsource, t.eventname, t.useridentity.arn AS principal, count(*) AS calls,
  min(t.eventtime) AS first_seen, max(t.eventtime) AS last_seen
FROM cloudtrail t
CROSS JOIN UNNEST(t.resources) AS r (resource)
WHERE r.resource.arn = $arn
GROUP BY 1, 2, 3
ORDER BY calls DESC, t.eventsource, t.eventname, principal;
