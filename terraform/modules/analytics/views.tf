locals {
  moment = "TRY(CAST(from_iso8601_timestamp(%s) AT TIME ZONE 'UTC' AS TIMESTAMP))"

  view_columns = { for view, contract in local.contracts : view => concat(
    ["message_id", "${format(local.moment, "accepted_at")} AS accepted_at", "client"],
    [for column in contract.columns : format("%s AS \"${column.name}\"", lookup({
      text      = "data.\"${column.name}\""
      choice    = "data.\"${column.name}\""
      date_time = format(local.moment, "data.\"${column.name}\"")
    }, column.kind, "TRY_CAST(data.\"${column.name}\" AS ${column.type})"))],
    ["\"day\""],
  ) }

  # The lines of one message are equal, and lie in one day: of each day and id one is taken, and a
  # condition on the day still decides which objects are read.
  view_queries = { for view, contract in local.contracts : view => <<-SQL
    CREATE OR REPLACE VIEW "${view}" AS
    SELECT
      ${join(",\n  ", local.view_columns[view])}
    FROM (
      SELECT *, row_number() OVER (PARTITION BY "day", message_id) AS copy
      FROM "${contract.table}"
    )
    WHERE copy = 1 AND message_id IS NOT NULL
    SQL
  }
}

resource "aws_athena_named_query" "view" {
  for_each = local.contracts

  name        = "create view ${each.key}"
  description = "Makes the view ${each.key}: each message of the contract ${each.value.name} once, in typed columns. To be run once, and after each change of the contract."
  workgroup   = aws_athena_workgroup.this.id
  database    = aws_glue_catalog_database.this.name
  query       = local.view_queries[each.key]
}

resource "aws_athena_named_query" "newest" {
  for_each = local.contracts

  name        = "newest ${each.key}"
  description = "The newest messages of the contract ${each.value.name}, of today and yesterday in UTC."
  workgroup   = aws_athena_workgroup.this.id
  database    = aws_glue_catalog_database.this.name
  query       = <<-SQL
    SELECT *
    FROM "${each.key}"
    WHERE "day" >= date_format(current_date - INTERVAL '1' DAY, '%Y/%m/%d')
    ORDER BY accepted_at DESC
    LIMIT 20
  SQL
}
