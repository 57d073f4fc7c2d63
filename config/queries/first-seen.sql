-- title: What is new
-- question: Which calls did a principal make since then that it had not made before, as far as the archive reaches?
-- param: since text a time, such as 2026-03-01 or 2026-03-01T00:00:00Z
SELECT
  coalesce(useridentity.sessioncontext.sessionissuer.arn, useridentity.arn, useridentity.invokedby) AS principal,
  eventsource, eventname, min(eventtime) AS first_seen, count(*) AS calls
FROM cloudtrail
GROUP BY 1, 2, 3
HAVING min(eventtime) >= $since
ORDER BY first_seen, principal, eventsource, eventname;
