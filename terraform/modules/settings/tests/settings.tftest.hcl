variables {
  bucket          = { name = "acme", region = "eu-central-1", owner = "111122223333" }
  organization_id = "o-a1b2c3d4e5"
  queue_url       = "https://sqs.eu-central-1.amazonaws.com/111122223333/trail"
}

run "the_least_that_a_warden_needs" {
  command = plan

  assert {
    condition     = keys(output.policies) == ["audit", "reader"] && keys(output.actors) == ["process"]
    error_message = "There are policies for what nobody does."
  }
  assert {
    condition     = join(" ", [for s in jsondecode(output.policies["reader"]).Statement : s.Sid]) == "ListBuckets SeeAnnouncements ReadDeliveries ConsumeNotifications ReadDigestKeys ReadOrganization"
    error_message = "The reader may do more, or less."
  }
  assert {
    condition = [for s in jsondecode(output.policies["reader"]).Statement : s if s.Sid == "ReadDeliveries"] == [
      { Sid = "ReadDeliveries", Effect = "Allow", Action = ["s3:GetObject", "s3:GetObjectVersion"], Resource = "arn:aws:s3:::acme/AWSLogs/*" }
    ]
    error_message = "Deliveries are read elsewhere."
  }
  assert {
    condition     = length([for s in jsondecode(output.actors["process"]).Statement : s]) == sum([for policy in output.policies : length(jsondecode(policy).Statement)])
    error_message = "Without roles the process does everything."
  }
  assert {
    condition     = !can(regex("s3:DeleteObject|BypassGovernance|s3:PutObject\"", join("", values(output.policies))))
    error_message = "The warden could change the evidence."
  }
}

run "each_duty_goes_to_its_role_and_no_other" {
  command = plan
  variables {
    roles = {
      archive      = "arn:aws:iam::111122223333:role/archive"
      organization = "arn:aws:iam::999988887777:role/organization"
      retention    = "arn:aws:iam::111122223333:role/retention"
      audit        = "arn:aws:iam::111122223333:role/audit"
      trails       = "arn:aws:iam::999988887777:role/trails"
    }
    external_id  = "warden"
    keys         = ["arn:aws:kms:eu-central-1:111122223333:key/archive", "arn:aws:kms:eu-central-1:444455556666:key/alerts"]
    dead_letters = ["arn:aws:sqs:eu-central-1:111122223333:dead"]
    retention    = { keep_days = 365 }
    alert_topics = { alerts = "arn:aws:sns:eu-central-1:444455556666:alerts" }
    heartbeat    = { topic_arn = "arn:aws:sns:eu-central-1:444455556666:heartbeat" }
  }

  assert {
    condition = { for actor, policy in output.actors : actor => join(" ", [for s in jsondecode(policy).Statement : s.Sid]) } == {
      process      = "AssumeRoles PublishAlerts DecryptDeliveries EncryptWhatIsWritten"
      archive      = "ListBuckets SeeAnnouncements ReadDeliveries ReadLocks ConsumeNotifications WatchDeadLetters ReadDigestKeys DecryptDeliveries"
      organization = "ReadOrganization"
      retention    = "ReadProtection ChangeProtection LockObjects"
      audit        = "AuditBuckets AuditKeys"
      trails       = "DescribeTrails AuditTrails"
    }
    error_message = "A duty is somebody else's."
  }
  assert {
    condition     = [for s in jsondecode(output.actors["process"]).Statement : s.Resource if s.Sid == "EncryptWhatIsWritten"] == ["arn:aws:kms:eu-central-1:444455556666:key/alerts"]
    error_message = "The archive's key is for more than reading."
  }
  assert {
    condition     = [for s in jsondecode(output.actors["audit"]).Statement : s.Resource if s.Sid == "AuditKeys"] == ["arn:aws:kms:eu-central-1:111122223333:key/archive"]
    error_message = "A key's policy can only be read in its own account."
  }
  assert {
    condition     = [for s in jsondecode(output.actors["archive"]).Statement : s.Condition if s.Sid == "DecryptDeliveries"] == [{ StringEquals = { "kms:ViaService" = ["s3.eu-central-1.amazonaws.com", "sns.eu-central-1.amazonaws.com", "sqs.eu-central-1.amazonaws.com"] } }]
    error_message = "The key is used otherwise than through services."
  }
  assert {
    condition     = length(regexall("external_id = \"warden\"", output.configuration)) == 5 && strcontains(output.configuration, "audit_role = \"arn:aws:iam::999988887777:role/trails\"\naudit_external_id")
    error_message = "A role is assumed without its external id."
  }
  assert {
    condition     = join(" ", output.doctor_arguments) == "--key arn:aws:kms:eu-central-1:111122223333:key/archive --key arn:aws:kms:eu-central-1:444455556666:key/alerts --dead-letters arn:aws:sqs:eu-central-1:111122223333:dead"
    error_message = "The doctor is told something else."
  }
}

run "routes_come_in_their_order" {
  command = plan
  variables {
    heartbeat          = { topic_arn = "arn:aws:sns:eu-central-1:444455556666:heartbeat", every = "5m" }
    alert_topics       = { security = "arn:aws:sns:eu-central-1:444455556666:alerts" }
    alert_buses        = { bus = "arn:aws:events:eu-central-1:444455556666:event-bus/b" }
    security_hub       = { account = "444455556666", region = "eu-central-1" }
    more_configuration = "[[route]]\nmatch.severity_at_least = \"high\"\nto = [\"journal\"]"
  }

  assert {
    condition     = can(regex("(?s)to = \\[\"heartbeat\"\\].*severity_at_least.*to = \\[\"bus\",\"security\",\"security-hub\",\"journal\"\\]", output.configuration))
    error_message = "The last route is not last."
  }
  assert {
    condition     = strcontains(output.configuration, "[alert]\nheartbeat = \"5m\"")
    error_message = "The heart beats at another pace."
  }
}

run "another_partition_and_an_odd_layout" {
  command = plan
  variables {
    bucket    = { name = "acme", region = "cn-north-1", owner = "111122223333" }
    queue_url = "https://sqs.cn-north-1.amazonaws.com.cn/111122223333/trail"
    layout    = ["b/AWSLogs/{org}/{account}/", "a/AWSLogs/{account}/"]
    keys      = ["arn:aws-cn:kms:cn-north-1:111122223333:key/k"]
  }

  assert {
    condition     = [for s in jsondecode(output.policies["reader"]).Statement : s.Resource if s.Sid == "ReadDeliveries"] == [["arn:aws-cn:s3:::acme/a/AWSLogs/*", "arn:aws-cn:s3:::acme/b/AWSLogs/*"]]
    error_message = "The partition or the prefixes are wrong."
  }
  assert {
    condition     = strcontains(output.policies["reader"], "sqs.cn-north-1.amazonaws.com.cn") && !can(regex("arn:aws:", join("", values(output.policies))))
    error_message = "Something is of another partition."
  }
}

run "one_of_several_wardens_knows_its_number" {
  command = plan
  variables {
    shard = { index = 3, count = 5 }
  }

  assert {
    condition     = startswith(output.configuration, "[shard]\nindex = 3\ncount = 5\n\n[organization]")
    error_message = "The warden does not know which shard it is."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    name            = "The Warden"
    bucket          = { name = "acme", region = "Frankfurt", owner = "42" }
    organization_id = "acme"
    queue_url       = "trail"
    layout          = ["{account}/AWSLogs/"]
    shard           = { index = 3, count = 3 }
    keys            = ["alias/mine"]
    roles           = { archive = "role" }
    retention       = { keep_days = 10, mode = "forever", noncurrent_days = 9 }
    alert_topics    = { heartbeat = "arn:aws:sns:eu-central-1:444455556666:alerts" }
  }

  expect_failures = [
    var.name, var.bucket, var.organization_id, var.queue_url, var.shard, var.layout, var.keys, var.roles, var.retention, var.alert_topics,
  ]
}

run "records_lie_elsewhere" {
  command = plan
  variables {
    history = { bucket = "acme" }
  }

  expect_failures = [var.history]
}

run "the_key_of_records_is_named_as_policies_name_it" {
  command = plan
  variables {
    history = { bucket = "records", kms_key = "alias/records" }
  }

  expect_failures = [var.history]
}

run "copies_of_the_ledger_lie_elsewhere" {
  command = plan
  variables {
    ledger_copies = { bucket = "acme" }
  }

  expect_failures = [var.ledger_copies]
}
