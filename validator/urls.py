from django.urls import path

from validator.schema import SchemaView
from validator.views import MessageView

urlpatterns = [
    path("", MessageView.as_view(), name="messages"),
    path("schema/", SchemaView.as_view(), name="schema"),
]
