-- title: Console logins by network
-- question: From which networks did people sign in to the console, who and how often?
SELECT
  ip_prefix(sourceipaddress, CASE WHEN strpos(sourceipaddress, ':') > 0 THEN 48 ELSE 24 END) AS network,
  recipientaccountid AS account, count(*) AS logins, count(DISTINCT useridentity.arn) AS principals,
  sum(CASE WHEN json_extract_scalar(responseelements, '$.ConsoleLogin') = 'Failure' THEN 1 ELSE 0 END) AS failed,
  min(eventtime) AS first_seen, max(eventtime) AS last_seen
FROM cloudtrail
WHERE eventname = 'ConsoleLogin'
GROUP BY 1, 2
ORDER BY logins DESC, network, account;
