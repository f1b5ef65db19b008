# Who may do what is said by the tasks' roles; this only refuses what is not encrypted.
data "aws_iam_policy_document" "tls_only" {
  for_each = { messages = aws_sqs_queue.messages.arn, dead_letters = aws_sqs_queue.dead_letters.arn }

  statement {
    sid       = "DenyWithoutTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "messages" {
  queue_url = aws_sqs_queue.messages.id
  policy    = data.aws_iam_policy_document.tls_only["messages"].json
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy    = data.aws_iam_policy_document.tls_only["dead_letters"].json
}
