terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.8" # a queue of 1 MiB (modules/queue)
    }
  }
}
