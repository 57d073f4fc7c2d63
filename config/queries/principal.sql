-- title: What a principal did
-- question: Which calls did this user, role or session make, in which account and region, how often, and how many failed?
-- param: arn text its ARN, or the ARN of the role behind the session
SELECT
  recipientaccountid AS account, awsregion AS region, eventsource, eventname,
  count(*) AS calls, count(errorcode) AS failed, min(eventtime) AS first_seen, max(eventtime) AS last_seen
FROM cloudtrail
WHERE useridentity.arn = $arn OR useridentity.sessioncontext.sessionissuer.arn = $arn
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC, account, region, eventsource, eventname;
