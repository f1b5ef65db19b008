"""`make run`: the whole product on one machine, with an embedded AWS instead of an AWS account."""
