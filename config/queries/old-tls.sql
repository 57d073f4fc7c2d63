-- title: Who speaks an old TLS
-- question: Which clients still use TLS older than 1.2?
SELECT
  tlsdetails.tlsversion AS version, eventsource, coalesce(useridentity.arn, useridentity.invokedby) AS principal,
  split_part(useragent, ' ', 1) AS tool, count(*) AS calls, max(eventtime) AS last_seen
FROM cloudtrail
WHERE tlsdetails.tlsversion IN ('TLSv1', 'TLSv1.1', 'SSLv3')
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC, version, eventsource, principal, tool;
