# The contracts as `make schema` describes them, and what is wrong with the description. Every
# expression takes whatever a file may hold: the problems are reported by the database's precondition.

locals {
  kinds    = ["text", "integer", "decimal", "boolean", "date_time", "choice", "object", "list"]
  reserved = ["message_id", "accepted_at", "client", "contract", "day"]

  description = try(jsondecode(file(var.contract_file)), null)
  described   = try([for contract in local.description.contracts : contract], [])

  # HCL has no recursion, so nested fields are found level by level. `order` sorts a field behind the
  # one that it is in, and before the next one.
  level_1 = flatten([for number, contract in local.described : [for index, field in try([for each in contract.fields : each], []) : {
    contract = number
    parent   = try(contract.name, "contracts[${number}]")
    path     = "${try(contract.name, "contracts[${number}]")}.${try(field.name, index)}"
    order    = format("%03d/%03d", number, index)
    index    = index
    field    = field
  }]])
  level_2 = flatten([for parent in local.level_1 : [for index, field in concat(try([for each in parent.field.fields : each], []), try([parent.field.item], [])) : {
    contract = parent.contract
    parent   = parent.path
    path     = try("${parent.path}.${field.name}", "${parent.path}[]")
    order    = format("%s/%03d", parent.order, index)
    index    = index
    field    = field
  }]])
  level_3 = flatten([for parent in local.level_2 : [for index, field in concat(try([for each in parent.field.fields : each], []), try([parent.field.item], [])) : {
    contract = parent.contract
    parent   = parent.path
    path     = try("${parent.path}.${field.name}", "${parent.path}[]")
    order    = format("%s/%03d", parent.order, index)
    index    = index
    field    = field
  }]])
  level_4 = flatten([for parent in local.level_3 : [for index, field in concat(try([for each in parent.field.fields : each], []), try([parent.field.item], [])) : {
    contract = parent.contract
    parent   = parent.path
    path     = try("${parent.path}.${field.name}", "${parent.path}[]")
    order    = format("%s/%03d", parent.order, index)
    index    = index
    field    = field
  }]])
  level_5 = flatten([for parent in local.level_4 : [for index, field in concat(try([for each in parent.field.fields : each], []), try([parent.field.item], [])) : {
    contract = parent.contract
    parent   = parent.path
    path     = try("${parent.path}.${field.name}", "${parent.path}[]")
    order    = format("%s/%03d", parent.order, index)
    index    = index
    field    = field
  }]])
  fields = [for each in concat(local.level_1, local.level_2, local.level_3, local.level_4, local.level_5) : merge(each, {
    kind     = try(tostring(each.field.kind), "")
    name     = try(tostring(each.field.name), "")
    is_item  = endswith(each.path, "[]")
    sql_name = try(replace(lower(each.field.name), "-", "_"), "")
  })]

  problems = local.description == null ? [fileexists(var.contract_file) ? "it is not JSON" : "there is no such file"] : distinct(compact(concat(
    [length(local.described) == 0 ? "it has no list \"contracts\"" : ""],
    flatten([for index, contract in local.described : [
      can(regex("^[a-z][a-z0-9_]{0,29}$", contract.name)) ? "" : "contracts[${index}]: the name must be up to 30 lowercase letters, digits and _, from a letter on",
      can(regex("^([a-z0-9_]+/)?$", contract.prefix)) ? "" : "contracts[${index}]: the prefix must be empty, or one name with a slash behind it",
      length(try([for field in contract.fields : field], [])) > 0 ? "" : "contracts[${index}]: it has no list \"fields\"",
    ]]),
    [for name in distinct(local.view_names) : "two contracts have the view ${name}" if length([for each in local.view_names : each if each == name]) > 1],
    [for name in local.view_names : "the view ${name} has the name of another contract's table" if contains([for each in local.view_names : "${each}_stored"], name)],
    flatten([for each in local.fields : [
      contains(local.kinds, each.kind) ? "" : "${each.path}: the kind is none of ${join(", ", local.kinds)}",
      each.is_item || can(regex("^[A-Za-z0-9_-]+$", each.name)) ? "" : "${each.path}: the name must be letters, digits, _ and -",
      each.kind == "decimal" && !can(each.field.max_digits + each.field.decimal_places) ? "${each.path}: a decimal has max_digits and decimal_places" : "",
      each.kind == "object" && length(try([for field in each.field.fields : field], [])) == 0 ? "${each.path}: an object has a list \"fields\"" : "",
      each.kind == "list" && !can(keys(each.field.item)) ? "${each.path}: a list has an \"item\"" : "",
    ]]),
    [for each in local.level_1 : contains(local.reserved, replace(lower(try(each.field.name, "")), "-", "_")) ? "${each.path}: the name is that of a column of every view" : ""],
    [for each in local.level_5 : contains(["object", "list"], try(each.field.kind, "")) ? "${each.path}: it lies too deep, five levels are read" : ""],
    [for paths in values({ for each in local.fields : "${each.parent} ${each.sql_name}" => each.path... if !each.is_item }) :
    "${join(", ", paths)}: they are one name in SQL" if length(paths) > 1],
    # The SerDe knows one key for a name of SQL, on whichever level.
    [for paths in values({ for each in local.fields : "${each.contract} ${each.sql_name}" => { (lower(each.name)) = each.path }... if !each.is_item }) :
    "${join(", ", values(merge(paths...)))}: they are one name in SQL for two keys" if length(merge(paths...)) > 1],
  )))

  # The first contract is the one at `POST /`.
  view_names = [for index, contract in local.described : index == 0 ? "messages" : try(contract.name, "")]
}
