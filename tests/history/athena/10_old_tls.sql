-- Who still speaks an old TLS, by day and service.
SELECT
  substr(eventtime, 1, 10) AS day,
  split_part(eventsource, '.', 1) AS service,
  tlsdetails.tlsversion,
  recipientaccountid,
  count(*) AS calls,
  count(DISTINCT sourceipaddress) AS addresses,
  sum(CASE WHEN regexp_like(useragent, '^(aws-cli|Boto3)/') THEN 1 ELSE 0 END) AS by_tools
FROM cloudtrail_logs
WHERE tlsdetails.tlsversion IS NOT NULL
  AND tlsdetails.tlsversion <> 'TLSv1.3'
GROUP BY substr(eventtime, 1, 10), split_part(eventsource, '.', 1), tlsdetails.tlsversion, recipientaccountid
ORDER BY day, service, tlsdetails.tlsversion, recipientaccountid;
