# Write-only: values go to AWS, and neither to the plan nor to the state.
resource "aws_ssm_parameter" "this" {
  for_each = local.created

  name             = "/${var.name}/${replace(each.key, "_", "-")}"
  description      = each.value.description
  type             = "SecureString"
  key_id           = aws_kms_key.this.arn
  value_wo         = ephemeral.random_password.this[each.key].result
  value_wo_version = each.value.version

  lifecycle {
    # A changed description is written together with the value, and of a write-only one the provider knows none: it
    # would write an empty secret (internal/service/ssm/parameter.go, Update). key_id has the same flaw: raise the
    # version when it changes.
    ignore_changes = [description]
  }
}

ephemeral "random_password" "this" {
  for_each = local.created

  length  = 64
  special = false
}

locals {
  generated = {
    api_tokens = {
      description = "API tokens: a token, or JSON of client to one or two tokens"
      version     = var.api_tokens_version
    }
    django_secret_key = {
      description = "Key that Django signs sessions with"
      version     = var.django_secret_key_version
    }
    grafana_admin_password = {
      description = "Password of Grafana's user admin"
      version     = var.grafana_admin_password_version
    }
  }
  created = { for key, parameter in local.generated : key => parameter if var.existing_parameters[key] == null }

  names = merge(
    { for key, name in var.existing_parameters : key => name if name != null },
    { for key, parameter in aws_ssm_parameter.this : key => parameter.name },
  )
}
