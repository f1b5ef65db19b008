"""The API with other contracts than the tests' own."""

import sys
from types import ModuleType

import pytest

from cpsite.urls import urlpatterns as products
from validator import urls


@pytest.fixture
def every_kind(settings, monkeypatch):
    """Serve the contracts of tests/every_kind.py."""
    settings.CONTRACT_MODULE = "tests.every_kind"
    module = ModuleType("tests.urls_of_every_kind")
    # All but the last one, which are the API's.
    module.urlpatterns = [*products[:-1], *urls.patterns()]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.ROOT_URLCONF = module.__name__
