-- title: Who changed a security group
-- question: Which calls that are no reads named this group, by whom and from where?
-- param: group text its id, such as sg-0123456789abcdef0
SELECT eventtime, eventname, useridentity.arn AS principal, sourceipaddress, errorcode, requestparameters
FROM cloudtrail
WHERE eventsource = 'ec2.amazonaws.com'
  AND coalesce(readonly, 'false') <> 'true'
  AND (strpos(requestparameters, $group) > 0 OR strpos(responseelements, $group) > 0)
ORDER BY eventtime, eventid;
