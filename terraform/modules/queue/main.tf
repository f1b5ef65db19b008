resource "aws_sqs_queue" "messages" {
  name                       = var.name
  visibility_timeout_seconds = var.visibility_timeout_seconds
  message_retention_seconds  = var.retention_seconds
  # For consumers that do not ask for a long poll; the uploader does.
  receive_wait_time_seconds = 20
  max_message_size          = 1048576
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "dead_letters" {
  name = "${var.name}-dlq"
  # The longest there is, counted from when a message was first sent.
  message_retention_seconds = 1209600
  receive_wait_time_seconds = 20
  max_message_size          = 1048576
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_redrive_policy" "messages" {
  queue_url = aws_sqs_queue.messages.id
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.messages.arn]
  })
}
