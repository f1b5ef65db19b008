resource "aws_glue_catalog_database" "this" {
  name        = replace(var.name, "-", "_")
  description = "Messages of ${var.name}, a table for each contract."

  lifecycle {
    precondition {
      condition     = length(local.problems) == 0
      error_message = "contract_file, ${var.contract_file}, is no description of contracts (make schema writes one):\n- ${join("\n- ", local.problems)}"
    }
  }
}

resource "aws_glue_catalog_table" "stored" {
  for_each = local.contracts

  database_name = aws_glue_catalog_database.this.name
  name          = each.value.table
  description   = "Messages of the contract ${each.value.name} as they lie in S3, some perhaps twice; the view ${each.key} has each once."
  table_type    = "EXTERNAL_TABLE"

  # Which days there are follows from the calendar: no crawler, no MSCK REPAIR TABLE.
  parameters = {
    EXTERNAL                       = "TRUE"
    classification                 = "json"
    "projection.enabled"           = "true"
    "projection.day.type"          = "date"
    "projection.day.format"        = "yyyy/MM/dd"
    "projection.day.range"         = "${var.first_day},NOW"
    "projection.day.interval"      = "1"
    "projection.day.interval.unit" = "DAYS"
    "storage.location.template"    = "${each.value.location}$${day}/"
  }

  partition_keys {
    name    = "day"
    type    = "string"
    comment = "Day of acceptance in UTC, as 2026/11/23."
  }

  storage_descriptor {
    location      = each.value.location
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    columns {
      name    = "message_id"
      type    = "string"
      comment = "UUID that the client was answered."
    }

    columns {
      name    = "accepted_at"
      type    = "string"
      comment = "Moment of acceptance, with microseconds and offset."
    }

    columns {
      name    = "client"
      type    = "string"
      comment = "Name of the client that sent it."
    }

    columns {
      name    = "contract"
      type    = "string"
      comment = "Name of its contract; NULL for the default one."
    }

    columns {
      name    = "data"
      type    = each.value.data_type
      comment = "What the client sent, every value as text."
    }

    # One object is one line (.json), or many of them (.ndjson.gz): the suffix says whether it is compressed.
    ser_de_info {
      serialization_library = "org.openx.data.jsonserde.JsonSerDe"

      parameters = merge(
        {
          "case.insensitive"          = "TRUE"
          "ignore.malformed.json"     = "TRUE" # a row of NULLs, which the view leaves out
          "use.null.for.invalid.data" = "TRUE" # such as a text where the contract has an object by now
        },
        # Names that SQL has no sign for. They hold on every level.
        { for name, key in each.value.mappings : "mapping.${name}" => key },
      )
    }
  }
}
