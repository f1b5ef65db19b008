# Made anew by each run of Terraform and written by none, unless password_version has changed: then
# the instance and the parameter with the URL take the same one.
ephemeral "random_password" "this" {
  length = 40
  # It stands in a URL.
  special = false
}

# After the instance, so that an apply which fails at it has written nothing. Should one fail here,
# the next writes another password than the instance has: raise password_version then.
resource "aws_ssm_parameter" "url" {
  name             = "/${var.name}/database-url"
  description      = "DATABASE_URL of the services"
  type             = "SecureString"
  key_id           = var.key_arn
  value_wo_version = var.password_version
  value_wo = format(
    "postgresql://%s:%s@%s:%d/%s?sslmode=require",
    aws_db_instance.this.username,
    ephemeral.random_password.this.result,
    aws_db_instance.this.address,
    5432,
    aws_db_instance.this.db_name,
  )

  lifecycle {
    # As in modules/secrets: with a new description the provider would write an empty URL.
    ignore_changes = [description]
  }
}
