-- title: Who changed how open buckets are
-- question: Which calls changed a bucket's policy, ACL or public access block?
SELECT eventtime, recipientaccountid AS account, eventname, json_extract_scalar(requestparameters, '$.bucketName') AS bucket,
  useridentity.arn AS principal, sourceipaddress, errorcode
FROM cloudtrail
WHERE eventsource = 's3.amazonaws.com'
  AND eventname IN (
    'PutBucketPolicy', 'DeleteBucketPolicy', 'PutBucketAcl', 'PutObjectAcl', 'PutBucketPublicAccessBlock',
    'DeleteBucketPublicAccessBlock', 'PutAccountPublicAccessBlock', 'DeleteAccountPublicAccessBlock', 'PutBucketWebsite'
  )
ORDER BY eventtime, eventid;
