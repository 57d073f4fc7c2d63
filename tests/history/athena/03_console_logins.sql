-- Sign-ins to the console, and whether with a second factor.
SELECT
  useridentity.username,
  sourceipaddress,
  eventtime,
  json_extract_scalar(additionaleventdata, '$.MFAUsed') AS mfa,
  json_extract_scalar(responseelements, '$.ConsoleLogin') AS outcome
FROM cloudtrail_logs
WHERE eventname = 'ConsoleLogin'
ORDER BY eventtime, eventid;
