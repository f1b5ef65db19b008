# What the containers are told. That the names are ones which the program reads is shown by
# tests/terraform/test_contract.py.
mock_provider "aws" {
  source          = "./testing/mocks"
  override_during = plan
}

override_resource {
  target          = module.queue.aws_sqs_queue.messages
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:123456789012:messages"
    id  = "https://sqs.us-east-1.amazonaws.com/123456789012/messages"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/messages"
  }
}

override_resource {
  target          = module.queue.aws_sqs_queue.dead_letters
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:123456789012:messages-dlq"
    id  = "https://sqs.us-east-1.amazonaws.com/123456789012/messages-dlq"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/messages-dlq"
  }
}

override_resource {
  target          = module.messages.aws_s3_bucket.this
  override_during = plan
  values = {
    arn = "arn:aws:s3:::messages"
    id  = "messages"
  }
}

variables {
  environment      = "test"
  operator_cidrs   = ["203.0.113.0/24"]
  allow_plain_http = true
}

run "validator" {
  command = plan

  assert {
    condition = jsonencode({ for variable in jsondecode(module.validator.container_definitions)[0].environment : variable.name => variable.value }) == jsonencode({
      API_TOKENS_PARAMETER   = "/cpsite-test/api-tokens"
      AUDIT_EVENTS           = "all"
      AWS_REGION             = "us-east-1"
      DJANGO_HTTPS           = "false"
      HOST                   = "0.0.0.0"
      LOG_FORMAT             = "json"
      LOG_LEVEL              = "INFO"
      METRICS_HOST           = "0.0.0.0"
      PORT                   = "8000"
      SQS_QUEUE_URL          = "https://sqs.us-east-1.amazonaws.com/123456789012/messages"
      TRUSTED_PROXIES        = "1"
      VALIDATOR_METRICS_PORT = "9100"
      VALIDATOR_SERVES       = "api"
      WEB_CONCURRENCY        = "1"
      WEB_CONNECTIONS        = "512"
    })
    error_message = "The API's variables: neither the bucket nor the dead letters."
  }

  assert {
    condition     = jsonencode([for secret in jsondecode(module.validator.container_definitions)[0].secrets : secret.name]) == jsonencode(["DATABASE_URL"])
    error_message = "The API's secret; tokens it reads by itself, and it signs no sessions."
  }

  assert {
    condition     = jsonencode(jsondecode(module.validator.container_definitions)[0].command) == jsonencode(["python", "-m", "gunicorn", "--config", "python:cpsite.gunicorn"])
    error_message = "The validator's command."
  }
}

run "admin" {
  command = plan

  assert {
    condition = jsonencode({ for variable in jsondecode(module.admin.container_definitions)[0].environment : variable.name => variable.value }) == jsonencode({
      AUDIT_EVENTS           = "all"
      AWS_REGION             = "us-east-1"
      DJANGO_ALLOWED_HOSTS   = "mock-1234567890.us-east-1.elb.amazonaws.com"
      DJANGO_HTTPS           = "false"
      HOST                   = "0.0.0.0"
      LOG_FORMAT             = "json"
      LOG_LEVEL              = "INFO"
      METRICS_HOST           = "0.0.0.0"
      PORT                   = "8000"
      S3_BUCKET              = "messages"
      S3_PREFIX              = "messages/"
      SQS_DLQ_URL            = "https://sqs.us-east-1.amazonaws.com/123456789012/messages-dlq"
      SQS_QUEUE_URL          = "https://sqs.us-east-1.amazonaws.com/123456789012/messages"
      TRUSTED_PROXIES        = "1"
      VALIDATOR_METRICS_PORT = "9100"
      VALIDATOR_SERVES       = "admin"
      WEB_CONCURRENCY        = "1"
    })
    error_message = "The admin's variables: no tokens."
  }

  assert {
    condition     = jsonencode([for secret in jsondecode(module.admin.container_definitions)[0].secrets : secret.name]) == jsonencode(["DATABASE_URL", "DJANGO_SECRET_KEY"])
    error_message = "The admin's secrets."
  }

  assert {
    condition     = jsondecode(module.admin.container_definitions)[0].image == jsondecode(module.validator.container_definitions)[0].image && jsonencode(jsondecode(module.admin.container_definitions)[0].command) == jsonencode(jsondecode(module.validator.container_definitions)[0].command)
    error_message = "It is the validator's image, with its command."
  }
}

run "uploader" {
  command = plan

  assert {
    condition     = jsonencode(sort([for variable in jsondecode(module.uploader.container_definitions)[0].environment : variable.name])) == jsonencode(["AUDIT_EVENTS", "AWS_REGION", "LOG_FORMAT", "LOG_LEVEL", "METRICS_HOST", "S3_BUCKET", "S3_PREFIX", "SQS_DLQ_URL", "SQS_QUEUE_URL", "UPLOADER_CONCURRENCY", "UPLOADER_HEARTBEAT_FILE", "UPLOADER_LAYOUT", "UPLOADER_METRICS_PORT", "UPLOADER_RECEIVERS", "UPLOADER_STOP_SECONDS"])
    error_message = "The uploader's variables."
  }

  assert {
    condition     = jsonencode([for secret in jsondecode(module.uploader.container_definitions)[0].secrets : secret.name]) == jsonencode(["DATABASE_URL"])
    error_message = "The uploader's secrets."
  }

  assert {
    condition     = tonumber({ for variable in jsondecode(module.uploader.container_definitions)[0].environment : variable.name => variable.value }["UPLOADER_STOP_SECONDS"]) < jsondecode(module.uploader.container_definitions)[0].stopTimeout
    error_message = "The uploader stops by itself before ECS kills it."
  }

  assert {
    condition     = startswith({ for variable in jsondecode(module.uploader.container_definitions)[0].environment : variable.name => variable.value }["UPLOADER_HEARTBEAT_FILE"], "${jsondecode(module.uploader.container_definitions)[0].mountPoints[0].containerPath}/")
    error_message = "The heartbeat is where one may write."
  }
}

run "migration" {
  command = plan

  assert {
    condition     = jsonencode(jsondecode(module.migration.container_definitions)[0].command) == jsonencode(["python", "manage.py", "migrate", "--noinput"]) && jsonencode([for secret in jsondecode(module.migration.container_definitions)[0].secrets : secret.name]) == jsonencode(["DATABASE_URL"])
    error_message = "The migration."
  }

  assert {
    condition     = module.migration.family == "cpsite-test-migrate"
    error_message = "The family that pipelines run."
  }
}

run "containers_are_confined" {
  command = plan

  assert {
    condition = alltrue([
      for container in concat(jsondecode(module.validator.container_definitions), jsondecode(module.admin.container_definitions), jsondecode(module.uploader.container_definitions), jsondecode(module.migration.container_definitions)) :
      container.user == "10001" && container.readonlyRootFilesystem && container.linuxParameters.initProcessEnabled && jsonencode(container.linuxParameters.capabilities.drop) == jsonencode(["ALL"]) && jsonencode([for mount in container.mountPoints : mount.containerPath]) == jsonencode(["/tmp"])
    ])
    error_message = "Not root, a read-only root filesystem, no capabilities, and /tmp to write to."
  }
}

run "images_are_the_pipelines" {
  command = plan

  assert {
    condition = jsonencode({ for service, parameter in aws_ssm_parameter.image : service => [parameter.name, parameter.type, parameter.insecure_value] }) == jsonencode({
      uploader  = ["/cpsite-test/uploader-image", "String", "123456789012.dkr.ecr.us-east-1.amazonaws.com/mock:initial"]
      validator = ["/cpsite-test/validator-image", "String", "123456789012.dkr.ecr.us-east-1.amazonaws.com/mock:initial"]
    })
    error_message = "The first image is Terraform's."
  }

  assert {
    condition     = jsondecode(module.validator.container_definitions)[0].image == aws_ssm_parameter.image["validator"].insecure_value && jsondecode(module.migration.container_definitions)[0].image == aws_ssm_parameter.image["validator"].insecure_value && jsondecode(module.uploader.container_definitions)[0].image == aws_ssm_parameter.image["uploader"].insecure_value
    error_message = "Task definitions take the image that is deployed."
  }
}

run "https" {
  command = plan

  variables {
    certificate_arn        = "arn:aws:acm:us-east-1:123456789012:certificate/mock"
    domain_name            = "messages.example.com"
    monitoring_domain_name = "prometheus.example.com"
    validator              = { cpu = 2048, memory_mib = 4096 }
  }

  assert {
    condition     = alltrue([for containers in [module.validator.container_definitions, module.admin.container_definitions] : { for variable in jsondecode(containers)[0].environment : variable.name => variable.value }["DJANGO_HTTPS"] == "true"]) && { for variable in jsondecode(module.admin.container_definitions)[0].environment : variable.name => variable.value }["DJANGO_ALLOWED_HOSTS"] == "mock-1234567890.us-east-1.elb.amazonaws.com,messages.example.com"
    error_message = "Django knows that clients come over HTTPS, and under which names."
  }

  assert {
    condition     = { for variable in jsondecode(module.validator.container_definitions)[0].environment : variable.name => variable.value }["WEB_CONCURRENCY"] == "2"
    error_message = "A process for each vCPU."
  }

  assert {
    condition     = output.grafana_url == "https://messages.example.com/grafana/" && output.prometheus_url == "https://prometheus.example.com/"
    error_message = "URLs for people."
  }
}

run "outputs" {
  command = plan

  assert {
    condition     = output.alb_dns_name == "mock-1234567890.us-east-1.elb.amazonaws.com" && output.s3_bucket_name == "messages" && output.sqs_queue_url == "https://sqs.us-east-1.amazonaws.com/123456789012/messages" && output.sqs_dlq_url == "https://sqs.us-east-1.amazonaws.com/123456789012/messages-dlq"
    error_message = "Where things are."
  }

  assert {
    condition     = output.grafana_url == "http://mock-1234567890.us-east-1.elb.amazonaws.com/grafana/" && output.deploy_role_arn == null
    error_message = "Without names the load balancer's; without a repository no role."
  }

  assert {
    condition     = output.api_token_command == "aws ssm get-parameter --region us-east-1 --name /cpsite-test/api-tokens --with-decryption --query Parameter.Value --output text"
    error_message = "A command that can be pasted."
  }
}

run "delivery" {
  command = plan

  variables {
    github_repository = "octo/cpsite"
  }

  assert {
    condition     = output.deploy_role_arn == "arn:aws:iam::123456789012:role/mock"
    error_message = "A role for the pipelines."
  }
}
