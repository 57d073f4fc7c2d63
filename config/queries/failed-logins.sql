-- title: Failed console logins
-- question: From where did signing in fail how often, and for which users?
SELECT
  sourceipaddress, recipientaccountid AS account, coalesce(useridentity.username, useridentity.type) AS principal,
  errormessage, count(*) AS times, min(eventtime) AS first_seen, max(eventtime) AS last_seen
FROM cloudtrail
WHERE eventname = 'ConsoleLogin' AND json_extract_scalar(responseelements, '$.ConsoleLogin') = 'Failure'
GROUP BY 1, 2, 3, 4
ORDER BY times DESC, sourceipaddress, account, principal, errormessage;
