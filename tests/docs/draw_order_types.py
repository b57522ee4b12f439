"""Draw the pictures of docs/order-types.md: `make drawings`.

Where an order fires is not drawn by hand. It is looked for in the picture's prices, by what the
engine itself says an order of that type watches.
"""

import operator
from decimal import Decimal
from pathlib import Path

from config.environment.data_folder import PROJECT
from orders.terms.terms import Terms
from orders.terms.watch import UP, Watch, first_watch
from routing.venue import BPS, Side
from tests.docs.price_picture import (
    LAST,
    Level,
    Picture,
    Prices,
    Stay,
    Strip,
    drawn,
    first_second,
    line_through,
    mark,
)

FOLDER = PROJECT / "docs/pictures"


def reached(prices: Prices, watch: Watch, since: int = 1) -> int:
    """Return the first second in which the price is where the order waits "
    "for it."""
    assert watch.wake_price is not None
    goal = float(watch.wake_price)
    is_there = operator.ge if watch.kind == UP else operator.le
    return first_second(prices, lambda price: is_there(price, goal), since)


def watched(order_type: str, side: Side, **terms: str | int) -> Watch:
    prices = {name: Decimal(value) for name, value in terms.items() if name.endswith("price")}
    return first_watch(order_type, side, Terms("gtc", **prices, trail_bps=terms.get("trail_bps")))  # type: ignore[arg-type]


def limit() -> Picture:
    bid = line_through(
        (0, 100), (12, 102), (18, 104.2), (24, 103), (34, 102.4), (46, 105.2), (60, 104)
    )
    whole = [price - 0.9 for price in bid]
    watch = watched("limit", Side.SELL, limit_price="104")
    touched = reached(bid, watch)
    enough = reached(whole, watch)
    return Picture(
        title="limit: sell 400 SOL, limitPrice 104",
        prices=bid,
        line="bid",
        others=[("net of all 400 SOL", whole)],
        levels=[Level(104, "limitPrice 104")],
        marks=[
            mark(
                bid,
                touched,
                "The bid is at 104, but that is for the first atom: all 400 SOL would "
                "net less. The order stays open.",
            ),
            mark(
                whole,
                enough,
                "The whole amount nets 104. The order is released, and fills at 104 or "
                "better, fees included.",
            ),
        ],
        strips=[Strip("order", [Stay(enough, "open"), Stay(LAST, "confirmed", "filled")])],
    )


def stop() -> Picture:
    bid = line_through(
        (0, 100), (14, 98.4), (24, 99), (40, 95.2), (43, 94.6), (52, 92.5), (60, 93.2)
    )
    one_venue = [price - 0.7 for price in bid]
    for second, depth in ((15, 2.5), (16, 3.3), (17, 3.1), (18, 1.6)):
        one_venue[second] -= depth
    watch = watched("stop", Side.SELL, trigger_price="95")
    dipped, fired = reached(one_venue, watch), reached(bid, watch)
    return Picture(
        title="stop: sell, triggerPrice 95",
        prices=bid,
        line="bid",
        others=[("one venue", one_venue)],
        levels=[Level(95, "triggerPrice 95")],
        marks=[
            mark(
                one_venue,
                dipped,
                "One venue dips below 95. The bid is the best of all venues, so nothing fires.",
            ),
            mark(
                bid,
                fired,
                "The bid is at 95 or below: triggered. It sells at once, within "
                "slippageBps of the next quote.",
            ),
        ],
        strips=[Strip("order", [Stay(fired, "open"), Stay(LAST, "confirmed", "filled")])],
    )


def stop_limit() -> Picture:
    bid = line_through(
        (0, 99),
        (14, 97),
        (22, 95.8),
        (23, 92.6),
        (32, 92),
        (40, 93),
        (48, 94.4),
        (60, 95),
        wobble=0.1,
    )
    trigger = watched("stopLimit", Side.SELL, trigger_price="95", limit_price="94")
    limit = watched("limit", Side.SELL, limit_price="94")
    fired = reached(bid, trigger)
    filled = reached(bid, limit, fired)
    return Picture(
        title="stopLimit: sell, triggerPrice 95, limitPrice 94",
        prices=bid,
        line="bid",
        levels=[Level(95, "triggerPrice 95", until=fired), Level(94, "limitPrice 94")],
        marks=[
            mark(
                bid,
                fired,
                "The price jumps past both: triggered. From now on it is a limit order, "
                "and below 94 it rests unfilled.",
            ),
            mark(
                bid,
                filled,
                "The bid is at 94 again: released, and filled at 94 or better. Else it "
                "would still rest.",
            ),
        ],
        strips=[
            Strip(
                "order",
                [
                    Stay(fired, "open, waiting"),
                    Stay(filled, "open, phase limit"),
                    Stay(LAST, "confirmed", "filled"),
                ],
            )
        ],
    )


def take_profit() -> Picture:
    bid = list(line_through((0, 100), (20, 103.5), (34, 105), (60, 103)))
    bid[30] = 108.3
    watch = watched("takeProfit", Side.SELL, trigger_price="108")
    fired = reached(bid, watch)
    return Picture(
        title="takeProfit: sell, triggerPrice 108, no limitPrice",
        prices=bid,
        line="bid",
        levels=[Level(108, "triggerPrice 108")],
        marks=[
            mark(bid, fired, "A spike of a single second is a tick, and triggers it."),
            mark(
                bid,
                fired + 2,
                "It fills at what the market pays then. Only a limitPrice would have "
                "held it to a price.",
            ),
        ],
        strips=[Strip("order", [Stay(fired, "open"), Stay(LAST, "confirmed", "filled")])],
    )


def trailing_stop() -> Picture:
    bid = line_through(
        (0, 100),
        (8, 99),
        (18, 102.6),
        (21, 103.3),
        (26, 102.4),
        (36, 107),
        (43, 105.4),
        (46, 106.6),
        (54, 103),
        (60, 102),
    )
    trail_bps = 300
    armed = reached(
        bid, watched("trailingStop", Side.SELL, activation_price="103", trail_bps=trail_bps)
    )
    follows = [
        max(bid[armed : second + 1], default=bid[armed]) * (BPS - trail_bps) / BPS
        for second in range(LAST + 1)
    ]
    fired = next(
        second for second in range(armed + 1, LAST + 1) if bid[second] <= follows[second - 1]
    )
    top = max(range(armed, fired), key=lambda second: bid[second])
    return Picture(
        title="trailingStop: sell, trailBps 300, activationPrice 103",
        prices=bid,
        line="bid",
        levels=[Level(103, "activationPrice 103", until=armed)],
        moving=("", follows[: fired + 1], armed),
        marks=[
            mark(
                bid,
                armed,
                "The bid is at activationPrice: armed. Before that no fall could fire it.",
            ),
            mark(
                bid,
                top,
                "The watermark is the highest bid since. The trigger (dashed) follows 3 "
                "% below it, and never goes back.",
            ),
            mark(
                bid,
                fired,
                "The bid is 3 % below the watermark: triggered. From now on it is a stop.",
            ),
        ],
        strips=[
            Strip(
                "order",
                [
                    Stay(armed, "open, phase unarmed"),
                    Stay(fired, "open, trailing"),
                    Stay(LAST, "confirmed", "filled"),
                ],
            )
        ],
    )


def oco() -> Picture:
    bid = line_through(
        (0, 100), (14, 97), (26, 104), (35, 108), (42, 112.4), (49, 111.5), (60, 110)
    )
    fired = reached(bid, watched("limit", Side.SELL, limit_price="112"))
    filled = fired + 7
    return Picture(
        title="oco: sell 1.5 SOL once, takeProfit at 112 or stopLoss at 95",
        prices=bid,
        line="bid",
        levels=[
            Level(112, "limitPrice 112", until=filled),
            Level(95, "triggerPrice 95", until=filled),
        ],
        marks=[
            mark(
                bid,
                fired,
                "The target is released and has the group to itself. The stop is held: "
                "it triggers nothing now.",
            ),
            mark(
                bid,
                filled,
                "The target is confirmed, and in the same commit the stop is cancelled. "
                "Never both, never neither.",
            ),
        ],
        strips=[
            Strip(
                "target",
                [
                    Stay(fired, "open"),
                    Stay(filled, "sent"),
                    Stay(LAST, "confirmed", "filled"),
                ],
            ),
            Strip(
                "stop",
                [Stay(fired, "open"), Stay(filled, "held"), Stay(LAST, "cancelled", "ended")],
            ),
        ],
    )


def bracket() -> Picture:
    ask = line_through(
        (0, 102), (10, 101), (16, 99.9), (26, 102.6), (34, 103.8), (48, 95.8), (54, 94.2), (60, 95)
    )
    entered = reached(ask, watched("limit", Side.BUY, limit_price="100"))
    stopped = reached(ask, watched("stop", Side.SELL, trigger_price="96"), entered)
    return Picture(
        title="bracket: buy at 100 with takeProfit 106 and stopLoss 96",
        prices=ask,
        line="price",
        levels=[
            Level(100, "limitPrice 100", until=entered),
            Level(106, "takeProfit 106", since=entered),
            Level(96, "stopLoss 96", since=entered),
        ],
        marks=[
            mark(
                ask,
                entered,
                "The entry is confirmed. Its exits are born in the same commit, for "
                "exactly what it paid out.",
            ),
            mark(
                ask,
                stopped,
                "The stop is triggered and sells. The target is held, and cancelled "
                "when the stop is confirmed.",
            ),
        ],
        strips=[
            Strip("entry", [Stay(entered, "open"), Stay(LAST, "confirmed", "filled")]),
            Strip(
                "target", [Stay(stopped, "open"), Stay(LAST, "cancelled", "ended")], since=entered
            ),
            Strip(
                "stop", [Stay(stopped, "open"), Stay(LAST, "confirmed", "filled")], since=entered
            ),
        ],
    )


def twap() -> Picture:
    ask = line_through((0, 101), (14, 102), (21, 103.9), (30, 104.2), (36, 101.4), (60, 100.6))
    total, slots, interval = 80, 8, 7
    within, remaining, words, marks = Decimal(103), total, [], []
    for slot in range(slots):
        second = 4 + slot * interval
        amount = min(-(-remaining // (slots - slot)), 3 * -(-total // slots))
        is_met = ask[second] <= within
        words.append((second, f"{amount} USDC" if is_met else "missed"))
        remaining -= amount if is_met else 0
        marks += [] if is_met or marks else [second]
    missed = marks[0]
    resumed = next(second for second, word in words if second > missed and word != "missed")
    last = words[-1][0]
    return Picture(
        title="twap: spend 80 USDC in 8 slices, limitPrice 103",
        prices=ask,
        line="ask",
        levels=[Level(103, "limitPrice 103")],
        slots=words,
        marks=[
            mark(
                ask,
                missed,
                "The limit is not met: this slot is missed. The other slots stay where they are.",
            ),
            mark(
                ask,
                resumed,
                "What is left is spread over the slots that are left: each is larger, "
                "and there is no burst.",
            ),
            mark(
                ask,
                last,
                "The last slice takes the remainder, to the atom. Then the parent is confirmed.",
            ),
        ],
        strips=[
            Strip(
                "parent", [Stay(last + 2, "open, phase slicing"), Stay(LAST, "confirmed", "filled")]
            )
        ],
    )


def sniper() -> Picture:
    liquidity = [0.0] * 26 + [20.0] * 14 + [80.0] * 21
    opened = first_second(liquidity, lambda amount: amount > 0)
    enough = first_second(liquidity, lambda amount: amount >= 50)
    return Picture(
        title="sniper: buy NEW for 2 SOL as soon as its pool holds 50 SOL",
        prices=liquidity,
        line="pool",
        levels=[Level(50, "minLiquidity 50")],
        marks=[
            mark(
                liquidity,
                opened,
                "The pool opens, with 20 SOL. That is less than minLiquidity: the order waits.",
            ),
            mark(
                liquidity,
                enough,
                "The pool holds 80 SOL: released. It looks at what is there, so no "
                "missed message leaves it asleep.",
            ),
        ],
        strips=[Strip("order", [Stay(enough, "open"), Stay(LAST, "confirmed", "filled")])],
    )


PICTURES = {
    "limit": limit,
    "stop": stop,
    "stop-limit": stop_limit,
    "take-profit": take_profit,
    "trailing-stop": trailing_stop,
    "oco": oco,
    "bracket": bracket,
    "twap": twap,
    "sniper": sniper,
}


def files() -> dict[Path, str]:
    """Return the text of each picture's file."""
    return {FOLDER / f"{name}.svg": drawn(picture()) for name, picture in PICTURES.items()}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
