"""API keys for operators. A new key is shown once. An old key is revoked, never changed."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from orders.access.keys import (
    MAX_ADDRESSES,
    MAX_KEYS,
    Doer,
    TooManyKeys,
    Wish,
    make_key,
    read_network,
    revoke_keys,
    scopes_of,
    state_of,
)
from orders.models import ApiKey


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    addresses = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Addresses or networks such as 203.0.113.0/24 from which alone it may be used.",
    )

    class Meta:
        model = ApiKey
        fields = ("owner", "name", "may_read", "may_trade", "addresses", "expires_at")
        help_texts = {
            "may_read": "See and follow the account's orders.",
            "may_trade": "Send orders, and cancel them.",
            "expires_at": "If empty: in 90 days where others can reach the engine, else never.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        expires: Any = self.fields["expires_at"].widget
        for part, name in zip(getattr(expires, "widgets", ()), ("date", "time"), strict=False):
            part.attrs["aria-label"] = f"Expires at: {name}"

    def clean_addresses(self) -> list[str]:
        """:raises ValidationError: an entry is no address."""
        try:
            addresses = [
                str(read_network(address)) for address in self.cleaned_data["addresses"].split()
            ]
        except ValueError as error:
            raise forms.ValidationError(str(error), "invalid_address") from None
        if len(addresses) > MAX_ADDRESSES:
            raise forms.ValidationError(f"At most {MAX_ADDRESSES}.", "too_many")
        return addresses

    def clean(self) -> dict[str, Any]:
        """:raises ValidationError: the key would have no scope."""
        cleaned: dict[str, Any] = super().clean() or {}
        if not (cleaned.get("may_read") or cleaned.get("may_trade")):
            raise forms.ValidationError("A key may read, trade, or both.", "required")
        return cleaned


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    form = KeyForm
    list_display = (
        *("prefix", "owner", "name", "scopes", "created_at", "expires_at", "standing"),
        *("last_used_at", "last_used_from"),
    )
    list_select_related = ("owner",)
    search_fields = ("prefix", "name", "owner__username", "last_used_from")
    raw_id_fields = ("owner",)  # a field with a label, and a list to choose from
    actions = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_apikey")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key. Its secret goes only into the answer to this request."""
        given = form.cleaned_data
        wish = Wish(obj.name, tuple(scopes_of(obj)), given["addresses"], obj.expires_at)
        try:
            key, request.new_secret = make_key(  # type: ignore[attr-defined]
                obj.owner_id, wish, Doer(request.user.pk, request)
            )
        except TooManyKeys:
            return
        obj.pk, obj.prefix, obj.expires_at = key.pk, key.prefix, key.expires_at

    def save_related(self, *_: Any) -> None:
        """Do nothing: there is nothing related, and perhaps no key."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Do nothing: `make_key` has written it already."""

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key in the answer itself: a redirect would have to carry it in a cookie."""
        secret = getattr(request, "new_secret", None)
        if secret is None:
            text = f"{obj.owner} has {MAX_KEYS} keys: revoke one first."
            self.message_user(request, text, messages.ERROR)
            return self.response_post_save_add(request, obj)
        context = {
            **self.admin_site.each_context(request),
            **{"title": "The new API key", "opts": self.opts, "key": obj, "secret": secret},
        }
        return TemplateResponse(request, "admin/orders/apikey/made.html", context)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the chosen keys. Their open sockets are closed within seconds."""
        revoked = revoke_keys(queryset, Doer(request.user.pk, request))
        self.message_user(request, f"{len(revoked)} keys were revoked.", messages.SUCCESS)

    @admin.display
    def standing(self, key: ApiKey) -> str:
        return state_of(key)

    @admin.display
    def scopes(self, key: ApiKey) -> str:
        return " and ".join(scopes_of(key))
