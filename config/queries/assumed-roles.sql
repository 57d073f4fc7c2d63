-- title: Who assumed which role
-- question: Which principals took which roles, from which account, how often?
SELECT
  json_extract_scalar(requestparameters, '$.roleArn') AS role,
  coalesce(useridentity.arn, useridentity.invokedby, useridentity.principalid) AS principal,
  useridentity.accountid AS of_account, count(*) AS times, count(errorcode) AS failed,
  min(eventtime) AS first_seen, max(eventtime) AS last_seen
FROM cloudtrail
WHERE eventsource = 'sts.amazonaws.com' AND eventname LIKE 'AssumeRole%'
GROUP BY 1, 2, 3
ORDER BY times DESC, role, principal, of_account;
