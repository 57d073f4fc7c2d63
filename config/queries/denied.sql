-- title: Denied calls by principal
-- question: Who was denied what, how often, and since when?
SELECT
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS principal, eventsource, eventname,
  errorcode, count(*) AS calls, count(DISTINCT sourceipaddress) AS addresses, min(eventtime) AS first_seen,
  max(eventtime) AS last_seen
FROM cloudtrail
WHERE errorcode LIKE '%AccessDenied%' OR errorcode LIKE '%Unauthorized%' OR errorcode LIKE '%Forbidden%'
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC, principal, eventsource, eventname, errorcode;
