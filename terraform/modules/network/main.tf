data "aws_availability_zones" "available" {
  state = "available"

  # Local zones have neither Fargate nor RDS.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  available = data.aws_availability_zones.available.names
  # Where there are fewer, aws_vpc.this says so.
  zones = slice(local.available, 0, min(length(local.available), var.availability_zone_count))
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr_block
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }

  lifecycle {
    precondition {
      condition     = length(local.available) >= var.availability_zone_count
      error_message = "availability_zone_count is ${var.availability_zone_count}, and ${data.aws_region.current.region} offers this account ${length(local.available)}: ${join(", ", local.available)}."
    }
  }
}

# Nothing uses the default security group; without rules nothing can.
resource "aws_default_security_group" "closed" {
  vpc_id  = aws_vpc.this.id
  ingress = []
  egress  = []

  tags = { Name = "${var.name}-default-closed" }
}
