# What people who query need, and nothing else. It is a policy, not a role: who they are, and how they
# log in, is known where the account's people are (IAM Identity Center takes it by its name).
resource "aws_iam_policy" "analyst" {
  name        = "${var.name}-analyst"
  description = "Queries of ${var.name}'s messages with Athena, in its workgroup alone."
  policy      = data.aws_iam_policy_document.analyst.json
}

data "aws_iam_policy_document" "analyst" {
  statement {
    sid = "RunQueries"
    actions = [
      "athena:BatchGetNamedQuery",
      "athena:BatchGetQueryExecution",
      "athena:GetNamedQuery",
      "athena:GetQueryExecution",
      "athena:GetQueryResults",
      "athena:GetQueryResultsStream",
      "athena:GetWorkGroup",
      "athena:ListNamedQueries",
      "athena:ListQueryExecutions",
      "athena:StartQueryExecution",
      "athena:StopQueryExecution",
    ]
    resources = [aws_athena_workgroup.this.arn]
  }

  # Names alone, for Athena's console; what is in a catalog is ReadMetadata's.
  statement {
    sid       = "ListWorkgroups"
    actions   = ["athena:ListDataCatalogs", "athena:ListWorkGroups"]
    resources = ["*"] # they take no other
  }

  statement {
    sid       = "BrowseCatalog"
    actions   = ["athena:GetDataCatalog", "athena:GetDatabase", "athena:GetTableMetadata", "athena:ListDatabases", "athena:ListTableMetadata"]
    resources = ["arn:${local.partition}:athena:${local.region}:${local.account_id}:datacatalog/AwsDataCatalog"]
  }

  # No glue:GetPartitions: the partitions are projected, and not looked up.
  statement {
    sid     = "ReadMetadata"
    actions = ["glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables"]
    resources = [
      "${local.glue_arn}:catalog",
      "${local.glue_arn}:database/${aws_glue_catalog_database.this.name}",
      "${local.glue_arn}:table/${aws_glue_catalog_database.this.name}/*",
    ]
  }

  # Athena looks for the database called default, whichever is queried.
  statement {
    sid       = "FindDefaultDatabase"
    actions   = ["glue:GetDatabase"]
    resources = ["${local.glue_arn}:database/default"]
  }

  # No kms:Decrypt: the key of S3's own in this account lets everybody decrypt who may read the object.
  statement {
    sid       = "ReadMessages"
    actions   = ["s3:GetObject"]
    resources = ["${var.bucket_arn}/${var.s3_prefix}*"]
  }

  statement {
    sid       = "ListMessages"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.s3_prefix}*"]
    }
  }

  statement {
    sid       = "FindBuckets"
    actions   = ["s3:GetBucketLocation"]
    resources = [var.bucket_arn, module.results.bucket_arn]
  }

  statement {
    sid       = "KeepResults"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${module.results.bucket_arn}/*"]
  }

  statement {
    sid       = "ListResults"
    actions   = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [module.results.bucket_arn]
  }
}

locals {
  glue_arn = "arn:${local.partition}:glue:${local.region}:${local.account_id}"
}
