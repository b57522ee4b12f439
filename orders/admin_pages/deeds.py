"""What operators do to orders: retry and cancel, one or many, and how the result is told."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.contrib import messages

from orders.engine import bell, submission
from orders.lifecycle import CANCELLABLE, FINAL
from orders.models import Order
from orders.words import EndReason


class Done(NamedTuple):
    """What a deed did to one order."""

    outcome: str
    """The same words for all orders to which the same happened; they follow a number of orders."""
    did: tuple[Order, ...]
    """The orders that were changed: none, this one, or also the other one of its group."""
    texts: tuple[str, ...]
    """Sentences about this order."""
    level: int
    """One of `django.contrib.messages`."""


@dataclass(frozen=True, slots=True)
class Deed:
    """`action` is its name in the list of orders."""

    action: str
    verb: str
    button: str
    remembered: str
    do: Callable[[Order], Done]
    expected: Callable[[Order], str]
    """What will probably come of it. The order may move on before it is done."""

    def question(self, count: int) -> str:
        return f"{self.verb} {count} {'order' if count == 1 else 'orders'}?"

    def outlook(self, orders: Iterable[Order]) -> list[tuple[str, int]]:
        """Return how many orders there are of each expectation, the most first."""
        return Counter(map(self.expected, orders)).most_common()


def summary(deed: Deed, done: Sequence[Done]) -> str:
    """Return one sentence about many orders: "12 were cancelled, 38 had ended."."""
    counts = Counter(one.outcome for one in done)
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common())
    others = sum(max(0, len(one.did) - 1) for one in done)
    more = f" {others:,} more ended with them: the other orders of their groups." if others else ""
    return f"{deed.verb}: {told}.{more}"


def retry(order: Order) -> Done:
    """Wake a worker for the order, without waiting for its next attempt."""
    if order.status in FINAL:
        text = f"Order {order.pk} has ended: it is {order.status}."
        return Done("had ended", (), (text,), messages.WARNING)
    if order.resting:
        text = f"Order {order.pk} rests: a worker carries it once it is released."
        return Done("rest, and are carried once they are released", (), (text,), messages.WARNING)
    if bell.ring_for(str(order.pk)):
        text = f"A worker was asked to carry order {order.pk} now."
        return Done("asked for now", (order,), (text,), messages.SUCCESS)
    text = f"Redis does not answer; order {order.pk} is carried when it is due."
    return Done("are carried when they are due: Redis does not answer", (), (text,), messages.ERROR)


def expect_of_retry(order: Order) -> str:
    if order.status in FINAL:
        return "ended: nothing is done to them"
    return "rest: nothing is done to them" if order.resting else "can be carried now"


def cancel(order: Order) -> Done:
    """Cancel the order, and the other order of its group with it."""
    try:
        found = submission.cancel_order(order.pk, by="operator", reason=EndReason.OPERATOR)
    except submission.NotCancellable as refused:
        text = f"Order {order.pk} is {refused.status} and can no longer be cancelled."
        if order.resting:
            text = (
                f"Order {order.pk} cannot be cancelled now: the other order of its group is"
                f" {refused.status}."
            )
        outcome = "had ended" if refused.status in FINAL else "may have filled, and were left alone"
        return Done(outcome, (), (text,), messages.WARNING)
    if not found.events:
        text = f"Order {order.pk} was cancelled before."
        return Done("had been cancelled before", (), (text,), messages.INFO)
    ended = Order.objects.filter(pk__in=[event.order_id for event in found.events])
    did = tuple(sorted(ended, key=lambda one: one.pk != order.pk))
    texts = tuple(f"Order {one.pk} was cancelled." for one in did)
    return Done("cancelled", did, texts, messages.SUCCESS)


def expect_of_cancel(order: Order) -> str:
    if order.status in FINAL:
        return "ended: nothing is done to them"
    return "can be cancelled" if order.status in CANCELLABLE else "may have filled: left alone"


RETRY = Deed(
    *("retry_now", "Retry now", "Yes, wake a worker for them", "Asked to be carried now."),
    *(retry, expect_of_retry),
)
CANCEL = Deed(
    *("cancel", "Cancel", "Yes, cancel them", "Cancelled."),
    *(cancel, expect_of_cancel),
)
