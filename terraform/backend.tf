# Bucket, region and key come from the command line: `terraform -chdir=bootstrap output` prints them.
terraform {
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
