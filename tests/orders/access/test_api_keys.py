"""API keys are made, shown once, listed and revoked: by command and in the admin."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from orders.access import accounts
from orders.access.accounts import NotAuthenticated
from orders.access.keys import digest_of
from orders.models import ApiKey

pytestmark = pytest.mark.django_db

LIST = reverse("admin:orders_apikey_changelist")
ADD = reverse("admin:orders_apikey_add")


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


def find_api_key(secret: str) -> ApiKey:
    owner, principal = accounts.find_api_key(secret, "127.0.0.1")
    return ApiKey.objects.get(pk=principal.key, owner=owner)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_a_key_is_made_listed_and_revoked_by_command(alice: User) -> None:
    secret = run("create_api_key", "alice", "--name", "bot", "--expires-days", "90")
    key = find_api_key(secret)

    assert (key.owner, key.name, secret.startswith(key.prefix)) == (alice, "bot", True)
    assert secret not in str(ApiKey.objects.values())
    assert key.digest == digest_of(secret)
    assert f"{key.prefix}  alice  expires" in run("list_api_keys", "alice")
    assert run("list_api_keys", "bob") == ""
    assert run("revoke_api_key", key.prefix) == f"{key.prefix} is revoked."
    assert run("revoke_api_key", key.prefix) == f"{key.prefix} was revoked before."
    assert f"{key.prefix}  alice  revoked" in run("list_api_keys")
    with pytest.raises(NotAuthenticated):
        find_api_key(secret)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create_api_key", "bob"),
        ("create_api_key", "alice", "--expires-days", "0"),
        ("create_api_key", "alice", "--expires-days", "99999999"),
        ("revoke_api_key", "oee_nothing1"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments: tuple[str, ...], alice: User) -> None:
    with pytest.raises(CommandError, match=r"\."):
        run(*arguments)
    assert not ApiKey.objects.exists()


def test_two_keys_are_never_alike(alice: User) -> None:
    secrets = {run("create_api_key", "alice") for _ in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {52}


def test_the_admin_shows_a_new_key_once(admin_client: Client, alice: User) -> None:
    sent = {"owner": alice.pk, "name": "bot", "expires_at_0": "", "expires_at_1": ""}
    answer = admin_client.post(ADD, sent | {"may_read": "on"})
    page = answer.content.decode()
    key = ApiKey.objects.get()
    secret = page.partition("<code>")[2].partition("</code>")[0]

    assert find_api_key(secret) == key
    assert (key.owner, key.name, key.may_read, key.may_trade) == (alice, "bot", True, False)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    assert secret not in str(answer.cookies) + str(admin_client.cookies)
    again = admin_client.get(LIST).content.decode()
    assert key.prefix in again
    assert secret not in again
    assert key.digest not in again


def test_the_admin_revokes_keys_and_changes_none(admin_client: Client, alice: User) -> None:
    secret = run("create_api_key", "alice")
    key = ApiKey.objects.get()
    chosen = {"action": "revoke", "_selected_action": [str(key.pk)]}
    page = admin_client.post(LIST, chosen, follow=True).content.decode()

    assert "1 keys were revoked" in page
    with pytest.raises(NotAuthenticated):
        find_api_key(secret)
    assert admin_client.post(f"{LIST}{key.pk}/change/", {"name": "x"}).status_code == 403
    assert admin_client.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403


def test_who_may_not_handle_keys_cannot(alice: User) -> None:
    alice.is_staff = True
    alice.save()
    client = Client()
    client.force_login(alice)

    assert client.get(LIST).status_code == 403
    assert client.post(ADD, {"owner": alice.pk}).status_code == 403
    assert not ApiKey.objects.exists()


def test_a_person_logs_in_and_out() -> None:
    User.objects.create_user("carol", password="correct horse")
    client = Client(enforce_csrf_checks=True)
    page = client.get("/accounts/login/")
    token = page.cookies["csrftoken"].value
    sent = {"username": "carol", "password": "correct horse", "csrfmiddlewaretoken": token}

    assert client.post("/accounts/login/", sent).headers["location"] == "/api/orders"
    assert "sessionid" in client.cookies
    token = client.cookies["csrftoken"].value
    assert client.post("/accounts/logout/", {"csrfmiddlewaretoken": token}).status_code == 302
    assert client.cookies["sessionid"].value == ""
