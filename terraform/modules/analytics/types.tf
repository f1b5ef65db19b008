# What a field is called in SQL. The table has every value as text, so that no value ends a query,
# and no digit is lost; the view makes types of it, and NULL of what does not fit.

locals {
  # Types with what is in them, as words in the order of the fields: a struct or list begins, and ends
  # ("~" sorts behind all that is in it). Trino has a decimal of 38 digits at most.
  words = merge([for each in local.fields : {
    (each.order) = {
      hive  = join("", [each.index > 0 ? "," : "", each.is_item ? "" : "${each.sql_name}:", lookup({ object = "struct<", list = "array<" }, each.kind, "string")])
      trino = join("", [each.index > 0 ? ", " : "", each.is_item ? "" : "\"${each.sql_name}\" ", lookup({ object = "ROW(", list = "ARRAY(" }, each.kind, local.scalar_types[each.order])])
    }
    "${each.order}~" = {
      hive  = contains(["object", "list"], each.kind) ? ">" : ""
      trino = contains(["object", "list"], each.kind) ? ")" : ""
    }
  }]...)

  scalar_types = { for each in local.fields : each.order => lookup({
    integer = try(each.field.min_value >= -9223372036854775808 && each.field.max_value <= 9223372036854775807, false) ? "BIGINT" : "DECIMAL(38, 0)"
    decimal = try("DECIMAL(${min(each.field.max_digits, 38)}, ${min(each.field.decimal_places, 38)})", "")
    boolean = "BOOLEAN"
  }, each.kind, "VARCHAR") }

  contracts = { for index, contract in local.described : local.view_names[index] => {
    table = "${local.view_names[index]}_stored"
    name  = contract.name
    # Of the default contract the prefix is empty.
    location  = "s3://${var.bucket_name}/${var.s3_prefix}${contract.prefix}"
    data_type = "struct<${join("", [for order, word in local.words : word.hive if startswith(order, format("%03d/", index))])}>"
    mappings  = { for each in local.fields : each.sql_name => lower(each.name) if each.contract == index && !each.is_item && each.sql_name != lower(each.name) }
    columns = [for each in local.fields : {
      name = each.sql_name
      kind = each.kind
      type = trimprefix(join("", [for order, word in local.words : word.trino if startswith(order, each.order)]), "${each.index > 0 ? ", " : ""}\"${each.sql_name}\" ")
    } if each.contract == index && each.parent == contract.name]
  } if length(local.problems) == 0 }
}
