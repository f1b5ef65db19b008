mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

override_resource {
  target          = module.results.aws_s3_bucket.this
  override_during = plan
  values          = { arn = "arn:aws:s3:::queries", id = "queries" }
}

variables {
  name          = "cpsite-test"
  contract_file = "tests/contracts/every_kind.json"
  bucket_name   = "messages-bucket"
  bucket_arn    = "arn:aws:s3:::messages-bucket"
  s3_prefix     = "messages/"
}

run "a_table_for_each_contract" {
  command = plan

  assert {
    condition     = jsonencode({ for key, table in aws_glue_catalog_table.stored : table.name => [table.database_name, table.table_type, table.storage_descriptor[0].location] }) == jsonencode({ messages_stored = ["cpsite_test", "EXTERNAL_TABLE", "s3://messages-bucket/messages/"], order_stored = ["cpsite_test", "EXTERNAL_TABLE", "s3://messages-bucket/messages/order/"] })
    error_message = "Where its objects are."
  }

  assert {
    condition = alltrue([for table in aws_glue_catalog_table.stored : jsonencode([for column in table.storage_descriptor[0].columns : [column.name, column.type] if column.name != "data"]) == jsonencode([
      ["message_id", "string"], ["accepted_at", "string"], ["client", "string"], ["contract", "string"],
    ])])
    error_message = "The envelope."
  }

  assert {
    condition = jsonencode({ for key, table in aws_glue_catalog_table.stored : key => [for column in table.storage_descriptor[0].columns : column.type if column.name == "data"] }) == jsonencode({
      messages = ["struct<field1:string,field2:string,field3:string,field4:string>"]
      order    = ["struct<order_id:string,count:string,serial:string,half:string,wide:string,amount:string,rate:string,paid:string,placed:string,status:string,address:struct<street:string,zip_code:string,geo:struct<lat:string>>,tags:array<string>,lines:array<struct<sku:string,quantity:string,at:string>>,matrix:array<array<string>>>"]
    })
    error_message = "Every kind of field, each value as text."
  }
}

run "days_are_projected" {
  command = plan

  assert {
    condition = jsonencode(aws_glue_catalog_table.stored["order"].parameters) == jsonencode({
      EXTERNAL                       = "TRUE"
      classification                 = "json"
      "projection.enabled"           = "true"
      "projection.day.type"          = "date"
      "projection.day.format"        = "yyyy/MM/dd"
      "projection.day.range"         = "2026/01/01,NOW"
      "projection.day.interval"      = "1"
      "projection.day.interval.unit" = "DAYS"
      "storage.location.template"    = "s3://messages-bucket/messages/order/$${day}/"
    })
    error_message = "Each day has its prefix."
  }

  assert {
    condition     = aws_glue_catalog_table.stored["messages"].parameters["storage.location.template"] == "s3://messages-bucket/messages/$${day}/"
    error_message = "The default contract has none of its own."
  }

  assert {
    condition     = alltrue([for table in aws_glue_catalog_table.stored : jsonencode([for key in table.partition_keys : [key.name, key.type]]) == jsonencode([["day", "string"]])])
    error_message = "The day is the partition."
  }
}

run "lines_of_json" {
  command = plan

  assert {
    condition     = alltrue([for table in aws_glue_catalog_table.stored : table.storage_descriptor[0].input_format == "org.apache.hadoop.mapred.TextInputFormat" && table.storage_descriptor[0].ser_de_info[0].serialization_library == "org.openx.data.jsonserde.JsonSerDe"])
    error_message = "A line is a message, in both layouts."
  }

  assert {
    condition = jsonencode({ for key, table in aws_glue_catalog_table.stored : key => table.storage_descriptor[0].ser_de_info[0].parameters }) == jsonencode({
      messages = { "case.insensitive" = "TRUE", "ignore.malformed.json" = "TRUE", "use.null.for.invalid.data" = "TRUE" }
      order    = { "case.insensitive" = "TRUE", "ignore.malformed.json" = "TRUE", "mapping.order_id" = "order-id", "mapping.zip_code" = "zip-code", "use.null.for.invalid.data" = "TRUE" }
    })
    error_message = "Nothing in an object ends a query, and names with - are found, nested ones too."
  }
}

run "a_view_for_each_contract" {
  command = plan

  assert {
    condition     = jsonencode({ for key, query in aws_athena_named_query.view : key => [query.name, query.database, query.workgroup] }) == jsonencode({ messages = ["create view messages", "cpsite_test", "mock"], order = ["create view order", "cpsite_test", "mock"] })
    error_message = "Saved where analysts find them."
  }

  assert {
    condition     = jsonencode(output.view_queries) == jsonencode({ for key, query in aws_athena_named_query.view : key => query.query })
    error_message = "And put out for a terminal."
  }

  assert {
    condition     = aws_athena_named_query.view["order"].query == <<-SQL
      CREATE OR REPLACE VIEW "order" AS
      SELECT
        message_id,
        TRY(CAST(from_iso8601_timestamp(accepted_at) AT TIME ZONE 'UTC' AS TIMESTAMP)) AS accepted_at,
        client,
        data."order_id" AS "order_id",
        TRY_CAST(data."count" AS BIGINT) AS "count",
        TRY_CAST(data."serial" AS DECIMAL(38, 0)) AS "serial",
        TRY_CAST(data."half" AS DECIMAL(38, 0)) AS "half",
        TRY_CAST(data."wide" AS DECIMAL(38, 0)) AS "wide",
        TRY_CAST(data."amount" AS DECIMAL(10, 2)) AS "amount",
        TRY_CAST(data."rate" AS DECIMAL(38, 38)) AS "rate",
        TRY_CAST(data."paid" AS BOOLEAN) AS "paid",
        TRY(CAST(from_iso8601_timestamp(data."placed") AT TIME ZONE 'UTC' AS TIMESTAMP)) AS "placed",
        data."status" AS "status",
        TRY_CAST(data."address" AS ROW("street" VARCHAR, "zip_code" VARCHAR, "geo" ROW("lat" DECIMAL(9, 6)))) AS "address",
        TRY_CAST(data."tags" AS ARRAY(VARCHAR)) AS "tags",
        TRY_CAST(data."lines" AS ARRAY(ROW("sku" VARCHAR, "quantity" BIGINT, "at" VARCHAR))) AS "lines",
        TRY_CAST(data."matrix" AS ARRAY(ARRAY(DECIMAL(38, 0)))) AS "matrix",
        "day"
      FROM (
        SELECT *, row_number() OVER (PARTITION BY "day", message_id) AS copy
        FROM "order_stored"
      )
      WHERE copy = 1 AND message_id IS NOT NULL
    SQL
    error_message = "Each message once, in typed columns, and NULL for what does not fit."
  }
}

run "the_workgroup_is_bounded" {
  command = plan

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].enforce_workgroup_configuration && aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 10737418240
    error_message = "10 GB a query, whatever the client asks for."
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].result_configuration[0].output_location == "s3://queries/"
    error_message = "Results have a bucket of their own."
  }

  assert {
    condition     = aws_athena_workgroup.this.force_destroy
    error_message = "It goes with its history."
  }
}

run "bounds_can_be_set" {
  command = plan

  variables {
    max_scan_gb = 1
    first_day   = "2025/02/28"
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 1073741824
    error_message = "The bound."
  }

  assert {
    condition     = aws_glue_catalog_table.stored["messages"].parameters["projection.day.range"] == "2025/02/28,NOW"
    error_message = "The first day."
  }
}

run "permissions" {
  command = plan

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.analyst.statement : statement.sid => [sort(statement.actions), sort(statement.resources)] }) == jsonencode({
      RunQueries          = [["athena:BatchGetNamedQuery", "athena:BatchGetQueryExecution", "athena:GetNamedQuery", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:GetQueryResultsStream", "athena:GetWorkGroup", "athena:ListNamedQueries", "athena:ListQueryExecutions", "athena:StartQueryExecution", "athena:StopQueryExecution"], ["arn:aws:athena:us-east-1:123456789012:workgroup/mock"]]
      ListWorkgroups      = [["athena:ListDataCatalogs", "athena:ListWorkGroups"], ["*"]]
      BrowseCatalog       = [["athena:GetDataCatalog", "athena:GetDatabase", "athena:GetTableMetadata", "athena:ListDatabases", "athena:ListTableMetadata"], ["arn:aws:athena:us-east-1:123456789012:datacatalog/AwsDataCatalog"]]
      ReadMetadata        = [["glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables"], ["arn:aws:glue:us-east-1:123456789012:catalog", "arn:aws:glue:us-east-1:123456789012:database/cpsite_test", "arn:aws:glue:us-east-1:123456789012:table/cpsite_test/*"]]
      FindDefaultDatabase = [["glue:GetDatabase"], ["arn:aws:glue:us-east-1:123456789012:database/default"]]
      ReadMessages        = [["s3:GetObject"], ["arn:aws:s3:::messages-bucket/messages/*"]]
      ListMessages        = [["s3:ListBucket"], ["arn:aws:s3:::messages-bucket"]]
      FindBuckets         = [["s3:GetBucketLocation"], ["arn:aws:s3:::messages-bucket", "arn:aws:s3:::queries"]]
      KeepResults         = [["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"], ["arn:aws:s3:::queries/*"]]
      ListResults         = [["s3:ListBucket", "s3:ListBucketMultipartUploads"], ["arn:aws:s3:::queries"]]
    })
    error_message = "What queries need, and nothing else: messages are read, never written or deleted."
  }

  assert {
    condition     = jsonencode({ for statement in data.aws_iam_policy_document.analyst.statement : statement.sid => tolist(statement.condition)[0] if length(statement.condition) > 0 }) == jsonencode({ ListMessages = { test = "StringLike", values = ["messages/*"], variable = "s3:prefix" } })
    error_message = "Only messages are listed."
  }

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.analyst.statement : coalesce(statement.effect, "Allow") == "Allow" && statement.not_actions == null && statement.not_resources == null])
    error_message = "Nothing is allowed by exception."
  }

  assert {
    condition     = aws_iam_policy.analyst.name == "cpsite-test-analyst"
    error_message = "The name that IAM Identity Center asks for."
  }
}

run "a_file_that_is_not_there_is_refused" {
  command = plan

  variables {
    contract_file = "tests/contracts/nothing.json"
  }

  expect_failures = [aws_glue_catalog_database.this]

  assert {
    condition     = jsonencode(local.problems) == jsonencode(["there is no such file"])
    error_message = "It says what is wrong."
  }
}

run "a_file_that_is_no_json_is_refused" {
  command = plan

  variables {
    contract_file = "tests/contracts/no_json.json"
  }

  expect_failures = [aws_glue_catalog_database.this]

  assert {
    condition     = jsonencode(local.problems) == jsonencode(["it is not JSON"])
    error_message = "It says what is wrong."
  }
}

run "another_json_file_is_refused" {
  command = plan

  variables {
    contract_file = "tests/contracts/other.json"
  }

  expect_failures = [aws_glue_catalog_database.this]

  assert {
    condition     = jsonencode(local.problems) == jsonencode(["it has no list \"contracts\""])
    error_message = "It says what is wrong."
  }
}

run "a_wrong_description_is_refused" {
  command = plan

  variables {
    contract_file = "tests/contracts/wrong.json"
  }

  expect_failures = [aws_glue_catalog_database.this]

  assert {
    condition = jsonencode(local.problems) == jsonencode([
      "contracts[1]: the name must be up to 30 lowercase letters, digits and _, from a letter on",
      "contracts[1]: the prefix must be empty, or one name with a slash behind it",
      "contracts[1]: it has no list \"fields\"",
      "contracts[4]: the name must be up to 30 lowercase letters, digits and _, from a letter on",
      "contracts[4]: the prefix must be empty, or one name with a slash behind it",
      "contracts[4]: it has no list \"fields\"",
      "two contracts have the view messages",
      "the view messages_stored has the name of another contract's table",
      "message.no space: the name must be letters, digits, _ and -",
      "message.count: the kind is none of text, integer, decimal, boolean, date_time, choice, object, list",
      "message.amount: a decimal has max_digits and decimal_places",
      "message.address: an object has a list \"fields\"",
      "message.tags: a list has an \"item\"",
      "message.day: the name is that of a column of every view",
      "messages.a[][][][]: it lies too deep, five levels are read",
      "message.a-b, message.a_B: they are one name in SQL",
      "message.a-b, message.a_B: they are one name in SQL for two keys",
      "messages_stored.x-y, messages_stored.o.x_y: they are one name in SQL for two keys",
    ])
    error_message = "It says what is wrong."
  }
}

run "bounds_that_cannot_be_kept_are_refused" {
  command = plan

  variables {
    max_scan_gb  = 0
    results_days = 0
    first_day    = "2026/13/01"
  }

  expect_failures = [var.max_scan_gb, var.results_days, var.first_day]
}
