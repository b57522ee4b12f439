from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("orders.logins.urls")),
    path("", include("orders.urls")),
]
handler400 = "orders.api.problems.bad_request"
handler403 = "orders.api.pages.errors.permission_denied"
handler404 = "orders.api.problems.not_found"
handler500 = "orders.api.problems.server_error"
