-- title: Who started and ended instances
-- question: Which calls ran, stopped or terminated instances, by whom?
SELECT eventtime, recipientaccountid AS account, awsregion AS region, eventname, useridentity.arn AS principal,
  sourceipaddress, errorcode, json_extract_scalar(requestparameters, '$.instanceType') AS instance_type
FROM cloudtrail
WHERE eventsource = 'ec2.amazonaws.com'
  AND eventname IN ('RunInstances', 'StartInstances', 'StopInstances', 'RebootInstances', 'TerminateInstances')
ORDER BY eventtime, eventid;
