from django.urls import path

from validator.views import MessageView

urlpatterns = [path("", MessageView.as_view(), name="messages")]
