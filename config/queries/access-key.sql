-- title: What an access key was used for
-- question: Who called what with this key, from where, when for the first and the last time?
-- param: key text the key's id, such as AKIA… or ASIA…
SELECT
  useridentity.arn AS principal, eventsource, eventname, sourceipaddress, errorcode,
  count(*) AS calls, min(eventtime) AS first_seen, max(eventtime) AS last_seen
FROM cloudtrail
WHERE useridentity.accesskeyid = $key
GROUP BY 1, 2, 3, 4, 5
ORDER BY first_seen, eventsource, eventname, sourceipaddress, errorcode;
