"""`GET /schema/`: the API as OpenAPI 3.1, for people's tools and for our own tests.

Written down rather than derived: a serializer tells neither what may stand in place of a token nor
why a request is refused. `tests/validator/test_openapi.py` holds it against what the API does.
"""
