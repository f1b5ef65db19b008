resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Private subnets of ${var.name}"
  subnet_ids  = var.subnet_ids
}

# Its rules stand in the root module (connections.tf), with all the others.
resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "PostgreSQL of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-postgres${var.engine_version}-"
  family      = "postgres${var.engine_version}"
  description = "PostgreSQL of ${var.name}"

  # rds.force_ssl is not here: it is 1 by default from PostgreSQL 15 on, which engine_version demands, and given it would
  # come back with another apply_method, a change in every plan.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV2_AWS_69:It looks for rds.force_ssl in the parameter group, and does not know the family's default
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class

  db_name             = "cpsite"
  username            = "cpsite"
  password_wo         = ephemeral.random_password.this.result
  password_wo_version = var.password_version

  storage_type          = "gp3"
  storage_encrypted     = true
  allocated_storage     = var.storage_gb
  max_allocated_storage = var.max_storage_gb

  db_subnet_group_name   = aws_db_subnet_group.this.name
  parameter_group_name   = aws_db_parameter_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  multi_az               = var.enable_multi_az

  backup_retention_period         = var.backup_retention_days
  copy_tags_to_snapshot           = true
  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = keys(aws_cloudwatch_log_group.this)

  deletion_protection       = var.enable_deletion_protection
  skip_final_snapshot       = !var.enable_final_snapshot
  final_snapshot_identifier = var.enable_final_snapshot ? "${var.name}-final-${random_id.snapshot.hex}" : null
}

# A snapshot of an earlier environment of this name keeps its name for as long as it is kept.
resource "random_id" "snapshot" {
  byte_length = 4
  keepers     = { identifier = var.name }
}
