-- Denied calls by principal.
SELECT
  useridentity.arn AS principal,
  eventsource,
  eventname,
  errorcode,
  count(*) AS calls,
  min(eventtime) AS first_seen,
  max(eventtime) AS last_seen
FROM cloudtrail_logs
WHERE errorcode IN ('AccessDenied', 'AccessDeniedException', 'Client.UnauthorizedOperation')
GROUP BY useridentity.arn, eventsource, eventname, errorcode
HAVING count(*) > 1
ORDER BY calls DESC, principal, eventsource, eventname, errorcode;
