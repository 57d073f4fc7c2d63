-- title: Console logins without a second factor
-- question: Who signed in to the console without MFA, and not through a federation?
SELECT eventtime, recipientaccountid AS account, useridentity.type, useridentity.arn AS principal, sourceipaddress, useragent
FROM cloudtrail
WHERE eventname = 'ConsoleLogin'
  AND useridentity.type IN ('IAMUser', 'Root')
  AND json_extract_scalar(responseelements, '$.ConsoleLogin') = 'Success'
  AND coalesce(json_extract_scalar(additionaleventdata, '$.MFAUsed'), 'No') <> 'Yes'
ORDER BY eventtime, eventid;
