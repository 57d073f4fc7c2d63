-- title: What fails
-- question: Which errors did which calls meet most often?
SELECT errorcode, eventsource, eventname, count(*) AS calls, count(DISTINCT recipientaccountid) AS accounts, max(eventtime) AS last_seen
FROM cloudtrail
WHERE errorcode IS NOT NULL
GROUP BY 1, 2, 3
ORDER BY calls DESC, errorcode, eventsource, eventname;
