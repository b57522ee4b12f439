"""The paths at which persons log in and look after their accounts."""

from django.urls import path

from orders.logins import account_views, factor_views, views

urlpatterns = [
    path("login/", views.LogIn.as_view(), name="login"),
    path("logout/", views.LogOut.as_view(), name="logout"),
    path("second-factor/", factor_views.second_factor_page, name="second-factor"),
    path("second-factor/enrol/", factor_views.enrol_page, name="enrol"),
    path("password/", account_views.Password.as_view(), name="password"),
    path("sessions/", account_views.sessions_page, name="sessions"),
    path("sessions/end/", account_views.end_session, name="end-session"),
]
