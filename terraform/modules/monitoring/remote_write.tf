locals {
  remote_write        = "^https://aps-workspaces\\.([a-z0-9-]+)\\.amazonaws\\.com/workspaces/(ws-[0-9a-f-]+)/api/v1/remote_write$"
  remote_write_urls   = var.remote_write_url == null ? [] : [var.remote_write_url]
  remote_write_region = one([for url in local.remote_write_urls : regex(local.remote_write, url)[0]])
}

data "aws_iam_policy_document" "remote_write" {
  count = length(local.remote_write_urls)

  statement {
    sid     = "WriteMetrics"
    actions = ["aps:RemoteWrite"]
    resources = [format(
      "arn:%s:aps:%s:%s:workspace/%s",
      data.aws_partition.current.partition,
      local.remote_write_region,
      data.aws_caller_identity.current.account_id,
      regex(local.remote_write, local.remote_write_urls[count.index])[1],
    )]
  }
}
