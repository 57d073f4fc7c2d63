# Who watches the watcher: CloudWatch counts what the warden says of itself. Silence is an alarm.

resource "aws_sns_topic" "heartbeat" {
  for_each = local.names

  name              = "${each.value}-heartbeat"
  kms_master_key_id = var.topic_key_arn != null ? var.topic_key_arn : "alias/aws/sns"
  tags              = var.tags
}

resource "aws_cloudwatch_metric_alarm" "heartbeat" {
  for_each = length(var.alarm_actions) == 0 ? {} : local.names

  alarm_name          = "${each.value}-heartbeat"
  alarm_description   = "${each.value} has not said for ${3 * var.heartbeat_minutes} minutes that it is alive: deliveries are neither read nor proven. Look at: systemctl status trailwarden."
  namespace           = "AWS/SNS"
  metric_name         = "NumberOfMessagesPublished"
  dimensions          = { TopicName = "${each.value}-heartbeat" }
  statistic           = "Sum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = var.heartbeat_minutes * 60
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "host" {
  for_each = length(var.alarm_actions) == 0 ? {} : local.names

  alarm_name          = "${each.value}-host"
  alarm_description   = "AWS finds the host of ${each.value} unwell."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed"
  dimensions          = { InstanceId = aws_instance.this[each.key].id }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}
