mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name       = "cpsite-test"
  vpc_id     = "vpc-mock"
  subnet_ids = ["subnet-a", "subnet-b"]
  key_arn    = "arn:aws:kms:us-east-1:123456789012:key/mock"
}

run "private_and_encrypted" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.storage_encrypted
    error_message = "Private, and encrypted."
  }

  assert {
    condition     = jsonencode(aws_db_instance.this.vpc_security_group_ids) == jsonencode(["sg-mock"])
    error_message = "Its own security group, and no other."
  }

  assert {
    condition     = aws_db_instance.this.max_allocated_storage > aws_db_instance.this.allocated_storage && aws_db_instance.this.backup_retention_period == 7
    error_message = "Storage grows; backups are kept."
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot
    error_message = "Not deleted by mistake, and not without a snapshot."
  }

  assert {
    condition     = !contains([for parameter in aws_db_parameter_group.this.parameter : parameter.name], "rds.force_ssl") && aws_db_parameter_group.this.family == "postgres17"
    error_message = "Unencrypted connections are refused by the family's default; given, it would be a change in every plan."
  }
}

run "a_version_that_takes_unencrypted_connections_is_refused" {
  command = plan

  variables {
    engine_version = "14"
  }

  expect_failures = [var.engine_version]
}

run "logs_end" {
  command = plan

  assert {
    condition     = jsonencode(sort(aws_db_instance.this.enabled_cloudwatch_logs_exports)) == jsonencode(["postgresql", "upgrade"]) && alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 30])
    error_message = "What the database writes is kept for as long as other logs."
  }
}

run "password_is_write_only" {
  command = plan

  variables {
    password_version = 3
  }

  assert {
    condition     = aws_db_instance.this.password == null && aws_db_instance.this.password_wo == null && aws_db_instance.this.password_wo_version == 3
    error_message = "The plan has the password's version alone."
  }

  assert {
    condition     = aws_ssm_parameter.url.type == "SecureString" && aws_ssm_parameter.url.value_wo == null && aws_ssm_parameter.url.value_wo_version == 3
    error_message = "The URL is written with the password, and by the same version."
  }

  assert {
    condition     = aws_ssm_parameter.url.name == "/cpsite-test/database-url" && aws_ssm_parameter.url.key_id == var.key_arn
    error_message = "The parameter's name and key."
  }
}

run "disposable" {
  command = plan

  variables {
    enable_deletion_protection = false
    enable_final_snapshot      = false
  }

  assert {
    condition     = !aws_db_instance.this.deletion_protection && aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == null
    error_message = "Goes without a trace."
  }
}

run "storage_that_cannot_grow_is_refused" {
  command = plan

  variables {
    max_storage_gb = 21
  }

  expect_failures = [var.max_storage_gb]
}

run "no_backups_are_refused" {
  command = plan

  variables {
    backup_retention_days = 0
  }

  expect_failures = [var.backup_retention_days]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    engine_version   = "17.2"
    instance_class   = "t4g.micro"
    storage_gb       = 5
    password_version = 0
  }

  expect_failures = [var.engine_version, var.instance_class, var.storage_gb, var.password_version]
}
