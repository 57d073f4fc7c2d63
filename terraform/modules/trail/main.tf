# The trail. Validation, all regions and management events are not to be chosen: without them there is nothing to watch.

resource "aws_cloudtrail" "this" {
  #checkov:skip=CKV2_AWS_10:logs are read from the bucket; a copy in CloudWatch Logs is paid for by byte and can be deleted
  #checkov:skip=CKV_AWS_252:the bucket announces what is delivered (module notify), digests and removals too, which the trail's own topic does not
  name                          = var.name
  s3_bucket_name                = var.bucket
  s3_key_prefix                 = var.prefix == "" ? null : var.prefix
  kms_key_id                    = var.kms_key_arn
  is_organization_trail         = var.organization
  is_multi_region_trail         = true
  include_global_service_events = true
  enable_log_file_validation    = true
  enable_logging                = true
  tags                          = var.tags

  dynamic "insight_selector" {
    for_each = var.insights

    content {
      insight_type = insight_selector.value
    }
  }

  # Without data events CloudTrail's own selection is all management events.
  dynamic "advanced_event_selector" {
    for_each = length(var.data_events) == 0 ? {} : { "All management events" = null }

    content {
      name = advanced_event_selector.key

      field_selector {
        field  = "eventCategory"
        equals = ["Management"]
      }
    }
  }

  dynamic "advanced_event_selector" {
    for_each = var.data_events

    content {
      name = advanced_event_selector.key

      field_selector {
        field  = "eventCategory"
        equals = ["Data"]
      }
      field_selector {
        field  = "resources.type"
        equals = [advanced_event_selector.value.type]
      }
      dynamic "field_selector" {
        for_each = length(advanced_event_selector.value.beginning_with) == 0 ? [] : [advanced_event_selector.value.beginning_with]

        content {
          field       = "resources.ARN"
          starts_with = field_selector.value
        }
      }
      dynamic "field_selector" {
        for_each = advanced_event_selector.value.writes_only ? ["false"] : []

        content {
          field  = "readOnly"
          equals = [field_selector.value]
        }
      }
    }
  }
}
