-- title: Where a principal came from
-- question: From which networks and with which tools did this principal call, and when?
-- param: arn text its ARN, or the ARN of the role behind the session
SELECT
  coalesce(ip_prefix(sourceipaddress, CASE WHEN strpos(sourceipaddress, ':') > 0 THEN 48 ELSE 24 END), sourceipaddress)
    AS network,
  split_part(useragent, '/', 1) AS tool, count(*) AS calls, min(eventtime) AS first_seen, max(eventtime) AS last_seen
FROM cloudtrail
WHERE useridentity.arn = $arn OR useridentity.sessioncontext.sessionissuer.arn = $arn
GROUP BY 1, 2
ORDER BY first_seen, network, tool;
