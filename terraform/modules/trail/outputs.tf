output "arn" {
  description = "The trail's ARN: `trails` of the warden's posture."
  value       = aws_cloudtrail.this.arn
}

output "home_region" {
  description = "The region that the trail is managed in."
  value       = aws_cloudtrail.this.home_region
}
