-- title: Who changed permissions
-- question: Which calls changed users, roles, groups, policies or keys, by whom and from where?
SELECT
  eventtime, recipientaccountid AS account, eventname, useridentity.arn AS principal, sourceipaddress, errorcode,
  coalesce(
    json_extract_scalar(requestparameters, '$.userName'), json_extract_scalar(requestparameters, '$.roleName'),
    json_extract_scalar(requestparameters, '$.groupName'), json_extract_scalar(requestparameters, '$.policyArn')
  ) AS target
FROM cloudtrail
WHERE eventsource IN ('iam.amazonaws.com', 'sso.amazonaws.com', 'organizations.amazonaws.com')
  AND coalesce(readonly, 'false') <> 'true'
ORDER BY eventtime, eventid;
