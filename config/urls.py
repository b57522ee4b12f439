from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("orders.logins.urls")),
    path("", include("orders.urls")),
]
handler400 = "orders.api.problems.bad_request"
handler404 = "orders.api.problems.not_found"
handler500 = "orders.api.problems.server_error"
