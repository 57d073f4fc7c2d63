# Who watches the watcher: what waits for too long, and what was given up.

resource "aws_cloudwatch_metric_alarm" "age" {
  for_each = length(var.alarm_actions) == 0 ? {} : local.names

  alarm_name          = "${each.value}-age"
  alarm_description   = "Deliveries wait in ${each.value} for more than ${var.alarm_age_minutes} minutes: the warden is down or cannot keep up. Look at: systemctl status trailwarden."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_age_minutes * 60
  period              = 300
  evaluation_periods  = 2
  # SQS says nothing of queues that nobody used for hours, and CloudTrail is never silent for so long.
  treat_missing_data = "breaching"
  alarm_actions      = var.alarm_actions
  ok_actions         = var.alarm_actions
  tags               = var.tags
}

resource "aws_cloudwatch_metric_alarm" "dead" {
  for_each = length(var.alarm_actions) == 0 ? {} : local.names

  alarm_name          = "${each.value}-dead"
  alarm_description   = "Announcements lie in ${each.value}-dead, where nobody reads them. The comparison of bucket and ledger finds their objects; find out why, and redrive."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = "${each.value}-dead" }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}
