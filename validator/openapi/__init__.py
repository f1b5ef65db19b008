"""`GET /schema/`: the API as an OpenAPI 3.1 document, for clients' tools and for our own tests.

It is written by hand, because serializers describe neither the alternative places of a token nor
the refusals. `tests/validator/test_openapi.py` compares it with what the API does.
"""
