from django.urls import path

from validator import pages
from validator.message_status import MessageStatusView
from validator.openapi.view import SchemaView
from validator.views import MessageView

urlpatterns = [
    path("", MessageView.as_view(), name="messages"),
    path("messages/<uuid:message_id>/", MessageStatusView.as_view(), name="message-status"),
    path("docs/", pages.docs, name="docs"),
    path("schema/", SchemaView.as_view(), name="schema"),
]
