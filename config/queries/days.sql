-- title: How much happened
-- question: How many events and errors were there on each day, in each account?
SELECT date, recipientaccountid AS account, count(*) AS events, count(errorcode) AS errors,
  count(DISTINCT eventname) AS kinds, count(DISTINCT awsregion) AS regions
FROM cloudtrail
GROUP BY 1, 2
ORDER BY date, account;
