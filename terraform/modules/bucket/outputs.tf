output "bucket_name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id

  # A load balancer checks that it may write as soon as it is given the bucket.
  depends_on = [aws_s3_bucket_policy.this, aws_s3_bucket_server_side_encryption_configuration.this]
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}
