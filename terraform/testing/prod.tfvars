# What prod.tfvars leaves to you, for checks that plan it.
certificate_arn        = "arn:aws:acm:us-east-1:123456789012:certificate/mock"
domain_name            = "messages.example.com"
monitoring_domain_name = "prometheus.example.com"
