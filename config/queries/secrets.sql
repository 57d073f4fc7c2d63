-- title: Who read secrets
-- question: Who fetched which secret or parameter, from where, how often?
SELECT
  eventname, coalesce(json_extract_scalar(requestparameters, '$.secretId'), json_extract_scalar(requestparameters, '$.name'),
    json_extract_scalar(requestparameters, '$.path'), json_extract(requestparameters, '$.names'),
    json_extract(requestparameters, '$.secretIdList')) AS secret,
  useridentity.arn AS principal, sourceipaddress, count(*) AS times, min(eventtime) AS first_seen, max(eventtime) AS last_seen
FROM cloudtrail
WHERE (eventsource = 'secretsmanager.amazonaws.com' AND eventname IN ('GetSecretValue', 'BatchGetSecretValue'))
   OR (eventsource = 'ssm.amazonaws.com' AND eventname IN ('GetParameter', 'GetParameters', 'GetParametersByPath'))
GROUP BY 1, 2, 3, 4
ORDER BY times DESC, eventname, secret, principal, sourceipaddress;
