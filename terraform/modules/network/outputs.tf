output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Ids of the subnets with a route to the internet."
  value       = aws_subnet.public[*].id

  # AWS refuses a load balancer in a VPC without a gateway, and a task that cannot reach its registry dies.
  depends_on = [aws_route.internet, aws_route_table_association.public]
}

output "private_subnet_ids" {
  description = "Ids of the subnets without a route to the internet."
  value       = aws_subnet.private[*].id

  # Without its endpoints, a task in them cannot pull its image.
  depends_on = [aws_route_table_association.private, aws_vpc_endpoint.interface, aws_vpc_endpoint.s3]
}

output "endpoints_security_group_id" {
  description = "Id of the endpoints' security group, null without endpoints."
  value       = one(aws_security_group.endpoints[*].id)
}

output "s3_prefix_list_id" {
  description = "Id of S3's prefix list, null without endpoints."
  value       = one(aws_vpc_endpoint.s3[*].prefix_list_id)
}
