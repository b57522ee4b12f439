"""Every setting: its name, what it takes, its default and what it does, declared once.

Only `read_environment` reads the environment, however the process was started. A setting may be
unreadable, out of bounds or in contradiction to another. Then the process ends before it has begun
anything. `python -m config.environment.settings_page` makes docs/settings.md from this module.

To add a setting, add a line to `Environment` and one to `.env.example`. If Django's settings need
it, add one to `config/settings.py`. A default is written in the form that the environment uses.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.environment import values
from config.environment.data_folder import PROJECT
from config.environment.values import Reading
from config.runtime.rate import Rate
from config.runtime.redis_address import RedisAddress
from config.runtime.sentences import end_with, say
from routing.simulation.faults import Faults
from routing.simulation.price_path import WrittenPath, read_paths
from routing.simulation.settings import MOST_VOLATILE, PriceRange, read_faults, read_price_ranges

WARNED = "ENGINE_WARNED"
"""Set for our own children: the warnings about names like settings have been printed."""
ALIKE = 0.85
UNITS = frozenset(("SECOND", "SEC", "MS", "MINUTE", "USD", "USDC", "BP", "PERCENT", "COUNT"))


def setting(default: str | None, description: str, unset: str = "none") -> Any:
    """Declare a setting. `unset`: what the page says of it if it is not set and has no default."""
    return Field(default, description=description, json_schema_extra={"unset": unset})


class Environment(BaseSettings):
    """The settings of this process: what its environment says, else the defaults."""

    model_config = SettingsConfigDict(
        case_sensitive=True, frozen=True, enable_decoding=False, hide_input_in_errors=True
    )

    DATABASE_URL: Annotated[str | None, values.database_url()] = setting(
        None,
        "libpq URL of a PostgreSQL, best 17 or later: from there on a transaction of a process"
        " that freezes ends after 8 s, and with it its locks. Unset: `make up` runs its own in the"
        " data folder.",
        "embedded",
    )
    REDIS_URL: Annotated[RedisAddress | None, values.redis_url()] = setting(
        None,
        "URL of a Redis or Valkey (`redis://`, `rediss://`, `unix://`). Unset: `make up` runs its"
        " own.",
        "embedded",
    )
    ENGINE_NAME: Annotated[
        str,
        values.text("1 to 64 of letters, digits, - and _", "[A-Za-z0-9_-]{1,64}"),
    ] = setting(
        "engine",
        "With the database's number it begins every key, queue and channel in Redis but"
        " `active_orders`: give each engine on one Redis its own.",
    )
    ENGINE_DATA_DIR: Annotated[str | None, values.folder()] = setting(
        None,
        "Folder of the embedded servers' files and of the generated secret key. Another folder is"
        " another engine.",
        "`.data` in the project",
    )
    POSTGRES_PASSWORD: Annotated[str | None, values.password_in_url()] = setting(
        None, "`docker-compose.yml` only, which wants it: the password of its PostgreSQL."
    )
    REDIS_PASSWORD: Annotated[str | None, values.password_in_url()] = setting(
        None, "`docker-compose.yml` only, which wants it: the password of its Valkey."
    )
    SECRET_KEY: Annotated[
        str | None,
        values.secret("a random string of at least 12 characters, better 50", 12),
    ] = setting(
        None,
        "Django's. Has to be set when `DATABASE_URL` is, unless `DEBUG` is on.",
        "generated",
    )
    SECRET_KEY_FALLBACKS: Annotated[
        tuple[str, ...],
        values.secrets("former values of SECRET_KEY, separated by commas", 12),
    ] = setting(
        "",
        "Django's: what was signed or encrypted under these still holds. For the days after a"
        " change of `SECRET_KEY`, see docs/security.md.",
    )
    DEBUG: Annotated[bool, values.truth()] = setting(
        "false", "Django's. Never on where others can connect."
    )
    ALLOWED_HOSTS: Annotated[
        tuple[str, ...],
        values.list_of(
            "host names without scheme and port, such as orders.example.com", values.allowed_host
        ),
    ] = setting("", "Hosts the engine answers to, besides `localhost`, `127.0.0.1` and `HOST`.")
    CSRF_TRUSTED_ORIGINS: Annotated[
        tuple[str, ...],
        values.list_of(
            "origins such as https://app.example.com or https://*.example.com",
            values.origin_or_subdomains,
        ),
    ] = setting("", "Django's: origins whose forms are taken, when a proxy hides our own.")
    ALLOWED_ORIGINS: Annotated[
        tuple[str, ...],
        values.list_of("origins such as https://app.example.com", values.origin),
    ] = setting(
        "",
        "Origins of other sites whose pages may call the API (CORS) and open our WebSockets. Never"
        " with the visitor's session: they bring a key or a ticket, or are anonymous, which places"
        " orders where `ALLOW_ANONYMOUS_ORDERS` is on. Our own pages may, and programs, which send"
        " no `Origin`. With `HTTPS`, only `https://` and this machine's.",
    )
    HTTPS: Annotated[bool, values.truth()] = setting(
        "false",
        "On: pages are redirected to TLS, orders and sockets in clear text are refused, cookies"
        " are `Secure`. Health and the probes answer either way.",
    )
    HSTS_SECONDS: Annotated[int, values.whole(0, 315_360_000, "seconds")] = setting(
        "31536000", "With `HTTPS`: how long browsers are told to ask for it alone."
    )
    PROXY_SSL_HEADER: Annotated[
        str,
        values.text(
            "a header's name such as X-Forwarded-Proto", r"[A-Za-z][A-Za-z0-9-]{0,60}", empty=""
        ),
    ] = setting(
        "",
        "A header, such as `X-Forwarded-Proto`, in which your proxy says `https`, and which it"
        " never passes on from a client. Not needed where `TRUSTED_PROXIES` names the proxy.",
    )
    TRUSTED_PROXIES: Annotated[int | tuple[IPv4Network | IPv6Network, ...], values.proxies()] = (
        setting(
            "127.0.0.1,::1",
            "Which proxies are believed about the client's address (`X-Forwarded-For`) and scheme"
            " (`X-Forwarded-Proto`): where your proxies are; or how many stand in a row before each"
            " request: the n-th address from the right is then the client's. `0`, empty: none.",
        )
    )
    FORWARDED_ALLOW_IPS: Annotated[
        int | tuple[IPv4Network | IPv6Network, ...] | None, values.older_proxies()
    ] = setting(
        None, "An older name of `TRUSTED_PROXIES`, heeded where that is not set.", "not heeded"
    )
    MAX_CONNECTIONS: Annotated[int, values.whole(1, 60_000)] = setting(
        "4096",
        "Connections that a web process has open, if the system's limit of open files allows: more"
        " are answered with 503.",
    )
    MAX_ADDRESS_CONNECTIONS: Annotated[int, values.whole(1, 60_000)] = setting(
        "256",
        "Of these from one address (a /64 network of IPv6): more are answered with 429. Not of"
        " `TRUSTED_PROXIES`, which count their clients.",
    )
    MAX_SOCKETS: Annotated[int, values.whole(1, 60_000)] = setting(
        "200",
        "WebSockets, streams and waiting requests that an account has open in a web process, and so"
        " many again an address for anonymous clients: more are refused with 429, pages with 4429.",
    )
    METRICS_TOKEN: Annotated[
        str,
        values.text(
            "16 to 200 letters, digits and other signs of ASCII",
            r"[!-~]{16,200}",
            empty="",
            is_secret=True,
        ),
    ] = setting(
        "",
        "What opens `/metrics`, as `Authorization: Bearer TOKEN`. Without it they are for this"
        " machine alone, when no proxy asks.",
    )
    ENGINE_API_KEY: Annotated[
        str,
        values.text(
            "an API key such as `manage.py create_api_key` prints, which begins with oee_",
            r"oee_[A-Za-z0-9_-]{1,200}",
            empty="",
            is_secret=True,
        ),
    ] = setting("", "For `manage.py demo` alone: the key it sends its orders with.")
    LOG_LEVEL: Annotated[str, values.one_of(*values.LEVELS, upper=True)] = setting(
        "INFO",
        "Of the engine's own loggers. `INFO` has a line for every routing decision.",
    )
    LOG_FORMAT: Annotated[str, values.one_of("console", "json")] = setting(
        "console",
        "`console`: a line for people. `json`: an object for machines, and the default of"
        " `docker-compose.yml`. See docs/observability.md.",
    )
    DEMO_LOGIN: Annotated[bool, values.truth()] = setting(
        "false",
        "On: a person at this machine may log in as `demo` / `demo`, and do everything. Without"
        " effect where others can connect, or where `ALLOWED_HOSTS`, `HTTPS` or"
        " `CSRF_TRUSTED_ORIGINS` say that they may. `make up` sets it when it runs its own"
        " PostgreSQL and only this machine can connect.",
    )
    REQUIRE_STAFF_MFA: Annotated[bool | None, values.truth()] = setting(
        None,
        "Whether staff need a second factor: a code of an authenticator app besides the password."
        " A person without one sets it up at the next log-in.",
        "where others can connect: `true`",
    )
    LOGIN_RATE_LIMIT: Annotated[Rate | None, values.rate()] = setting(
        "10/m",
        "Attempts to log in, by address, and by name where that name is a stranger. Six times as"
        " many in sixty times as long, and thirty times as many in a day of such minutes: see"
        " docs/security.md.",
    )
    SESSION_IDLE_SECONDS: Annotated[int, values.whole(60, 1_209_600, "seconds")] = setting(
        "28800",
        "Seconds without a request after which a person has to log in again. Two weeks after the"
        " log-in everybody has to.",
    )
    HOST: Annotated[str | None, Reading("an address or a name of this machine", values.host)] = (
        setting(
            None,
            "Address `make up` listens on: any of this machine, `0.0.0.0` or `::` for all. If"
            " `PORT` is set: `0.0.0.0`.",
            "127.0.0.1",
        )
    )
    PORT: Annotated[int | None, values.whole(1, 65535)] = setting(
        None, "Port `make up` listens on.", "first free from 8000"
    )

    DEFAULT_MARKET: Annotated[str, values.market()] = setting(
        "SOL/USDC", "Market of orders that name no tokens: one that is traded here."
    )
    ORDER_CONCURRENCY: Annotated[int, values.whole(1, 10_000)] = setting(
        "10", "Orders that one worker carries at once."
    )
    ORDER_RATE_LIMIT: Annotated[Rate | None, values.rate()] = setting(
        "100/m",
        "Orders that may start in any window of this length, over all workers together: a count"
        " and `s`, `m` or `h`, or `unlimited`. An order's later attempts do not count.",
    )
    ALLOW_ANONYMOUS_ORDERS: Annotated[bool | None, values.truth()] = setting(
        None,
        "Whether orders are taken without an account. `make up` turns it on when it runs its own"
        " PostgreSQL and only this machine can connect; with `DATABASE_URL` it is off.",
        "embedded: `true`",
    )
    ACCOUNT_RATE_LIMIT: Annotated[Rate | None, values.rate()] = setting(
        "600/m",
        "Orders that an account may send, over all web processes: as `ORDER_RATE_LIMIT`."
        " Anonymous orders are counted by address. All of it may be used at once, and comes back"
        " with time.",
    )
    READ_RATE_LIMIT: Annotated[Rate | None, values.rate()] = setting(
        "6000/m",
        "What an account, or an address of anonymous clients, may read: an order costs 1, a list"
        " 10 and 1 for every 5 orders, a list that is searched for 30 more.",
    )
    PREVIEW_RATE_LIMIT: Annotated[Rate | None, values.rate()] = setting(
        "240/m",
        "Previews and quotes that an account, or an address of anonymous clients, may ask for:"
        " apart from what it sends and reads.",
    )
    MAX_BACKLOG: Annotated[int, values.whole(1, 10_000_000)] = setting(
        "10000", "Orders that may wait for their first start; more are answered with 503."
    )
    SENDER_BACKLOG_SHARE: Annotated[float, values.number("0.001", "1")] = setting(
        "0.25",
        "The part of `MAX_BACKLOG` that an account, or one address without an account, may fill;"
        " what it sends beyond is answered with 429 and `too_many_waiting`.",
    )
    RESTING_RATE_LIMIT: Annotated[Rate | None, values.rate()] = setting(
        "600/m",
        "Orders that rest, such as limits and stops, that an account may send: counted as for"
        " `ACCOUNT_RATE_LIMIT`, and apart from it.",
    )
    MARKET_MAX_WAIT_SECONDS: Annotated[float | None, values.seconds("1", "3600")] = setting(
        None,
        "Seconds in which a market order that names no `maxWaitSeconds` has to be sent; then it"
        " expires. Unset: it waits for its turn as long as that takes.",
    )
    MAX_RESTING_DAYS: Annotated[int, values.whole(1, 366, "days")] = setting(
        "90", "How long an order may rest: one that names no end expires after so many days."
    )
    ORDER_ATTEMPTS: Annotated[int, values.whole(1, 20)] = setting(
        "3", "Attempts before an order fails."
    )
    RETRY_BACKOFF: Annotated[float, values.seconds("0.01", "600")] = setting(
        "1.0",
        "Seconds before the second attempt, doubled for each later one, give or take 20 %.",
    )
    VENUES: Annotated[str, values.one_of("simulated", "solana")] = setting(
        "simulated",
        "`simulated`: pretended venues on a pretended network. `solana`: real pools and real"
        " transactions ([solana.md](solana.md)).",
    )
    SOLANA_RPC_URLS: Annotated[tuple[str, ...], values.provider_urls()] = setting(
        "",
        "JSON-RPC of Solana, the provider that is asked first before the others. Two of them halve"
        " the risk of one that lies.",
    )
    SOLANA_KEY_FILE: Annotated[str | None, values.file()] = setting(
        None,
        "The wallet's key, as Solana's tools write it: a file that its owner alone may use (mode"
        " 0600). Workers alone read it.",
        "with a cluster of our own: that of its funded wallet",
    )
    SOLANA_SIGNER_URL: Annotated[tuple[str, ...], values.provider_urls()] = setting(
        "",
        "Instead of a key file: where signatures are asked for ([solana.md](solana.md#who-signs))."
        " Workers alone are told.",
    )
    SOLANA_SIGNER_TOKEN: Annotated[
        str,
        values.text(
            "16 to 400 letters, digits and other signs of ASCII",
            r"[!-~]{16,400}",
            empty="",
            is_secret=True,
        ),
    ] = setting("", "What the remote signer is shown, as `Authorization: Bearer TOKEN`.")
    SOLANA_WALLET: Annotated[str, values.solana_address()] = setting(
        "",
        "The wallet's address. A remote signer needs it; a key file is refused if it is another's.",
    )
    SOLANA_LIVE: Annotated[bool, values.truth()] = setting(
        "false",
        "Whether tokens of value may be traded: on any network but a local cluster, which is known"
        " by its genesis hash, nothing starts without it, and without both limits below. No order"
        " is then anonymous, demo/demo is off, and API keys begin with `oee_live_`"
        " ([live.md](live.md)).",
    )
    SOLANA_MAX_ORDER_VALUE: Annotated[
        Decimal | None, values.number("0.01", "1000000000", "USDC", Decimal)
    ] = setting(
        None, "The most that one transaction may give, by the reference price of that moment."
    )
    SOLANA_MAX_DAY_VALUE: Annotated[
        Decimal | None, values.number("0.01", "1000000000", "USDC", Decimal)
    ] = setting(
        None,
        "The most that all workers together may sign for on a day (UTC). What is proven dead counts"
        " no more.",
    )
    SOLANA_FEE_RESERVE: Annotated[Decimal, values.number("0", "1000", "SOL", Decimal)] = setting(
        "0.02", "What the wallet keeps for fees: an order that would leave less is not signed."
    )
    SOLANA_FEE_PERCENTILE: Annotated[int, values.whole(1, 100, "per cent")] = setting(
        "75",
        "The price of a compute unit is what so many of those who wrote the same pools lately did"
        " not exceed. Each further attempt pays twice as much.",
    )
    SOLANA_MAX_PRIORITY_FEE: Annotated[int, values.whole(0, 1_000_000_000, "lamports")] = setting(
        "1000000", "The most that a transaction pays for its place in a block."
    )
    SOLANA_SEND_URLS: Annotated[tuple[str, ...], values.provider_urls()] = setting(
        "", "Services that only take transactions, besides the providers: the same bytes go to all."
    )
    SOLANA_TIP: Annotated[int, values.whole(0, 1_000_000_000, "lamports")] = setting(
        "0", "What such a service is paid with each transaction, if it asks that."
    )
    SOLANA_TIP_RECEIVER: Annotated[str, values.solana_address()] = setting(
        "", "The service's address for tips."
    )
    SOLANA_PRICE_FEEDS: Annotated[dict[str, str], values.addresses_by_token()] = setting(
        "",
        "Pyth's price accounts by token, for the prices that live quotes are held to. A market"
        " whose two tokens have none is held to what its pools show"
        " ([live-pools.md](live-pools.md#prices)).",
    )
    QUOTE_TIMEOUT: Annotated[float, values.seconds("0.01", "300")] = setting(
        "2.0",
        "Seconds each venue has to quote; all are asked at once, and a late one is left out.",
    )
    MAX_ORDER_VALUE: Annotated[
        Decimal | None, values.number("0.01", "1000000000000", "USDC", Decimal)
    ] = setting(
        None,
        "The most that an order may be worth, by the reference prices: larger ones are refused"
        " with `too_large`. Without it only the price impact is looked at, and where pools are deep"
        " that lets much pass.",
    )
    MAX_OPEN_ORDERS: Annotated[int, values.whole(1, 10_000_000)] = setting(
        "10000",
        "Orders of an account that may rest at once; more are answered with 409 and"
        " `too_many_open_orders`. An address without an account may have 20.",
    )
    MAX_PRICE_IMPACT_BPS: Annotated[int, values.whole(0, 10_000, "bps")] = setting(
        "500",
        "How far an order that names no `maxPriceImpactBps` of its own may move a price: 100 is"
        " 1 %. What moves it further fails with `price_impact_too_high`.",
    )
    MAX_QUOTE_DEVIATION_BPS: Annotated[int | None, values.whole(1, 10_000, "bps")] = setting(
        None,
        "Quotes further than this from the market's reference price are left out.",
        "2000; with `VENUES=solana` 200, of the price of that moment",
    )
    SPLIT_MIN_GAIN_BPS: Annotated[Decimal, values.number("0.01", "10000", "bps", Decimal)] = (
        setting(
            "1.0",
            "An amount is split over venues when that nets this much more than the best venue"
            " alone; `10000`: never.",
        )
    )
    LEASE_SECONDS: Annotated[float, values.seconds("0.5", "3600")] = setting(
        "10.0",
        "How long an order belongs to a worker that is not heard of. Renewed every 0.3 of it.",
    )
    STATUS_POLL_SECONDS: Annotated[float, values.seconds("0.01", "60")] = setting(
        "0.1", "Seconds between two looks at a sent transaction."
    )
    RESEND_SECONDS: Annotated[float, values.seconds("0.05", "60")] = setting(
        "2.0", "Seconds between two sends of the same bytes."
    )
    LINGER_SECONDS: Annotated[float, values.seconds("0.001", "60")] = setting(
        "2.0",
        "Seconds an idle worker goes on listening for the next order by itself, before it leaves"
        " the bells to Celery again.",
    )
    STOP_GRACE_SECONDS: Annotated[float, values.seconds("0.1", "3600")] = setting(
        "8.0",
        "Seconds a stopping worker gives the orders it carries; then it gives their leases back,"
        " and another worker goes on at once.",
    )

    SIMULATION_QUOTE_LATENCY: Annotated[float, values.seconds("0", "3600")] = setting(
        "0.2", "Seconds a quote takes."
    )
    SIMULATION_LANDING_LATENCY: Annotated[
        tuple[float, float], values.seconds_range("0", "3600")
    ] = setting("2-3", "Seconds from the first send to the landing: a range, or one number.")
    SIMULATION_LATE_BY: Annotated[float, values.seconds("0", "3600")] = setting(
        "10", "Seconds by which the fault `landing_late` delays a landing."
    )
    SIMULATION_BLOCK_SECONDS: Annotated[float, values.seconds("0.01", "60")] = setting(
        "0.4", "Seconds of a block."
    )
    SIMULATION_EXPIRY_BLOCKS: Annotated[int, values.whole(1, 1_000_000)] = setting(
        "150", "Blocks after its building in which a transaction can land."
    )
    SIMULATION_DEPTH: Annotated[int, values.whole(1, 1_000_000_000_000)] = setting(
        "10000000",
        "What each side of a new pool is worth, in US dollars. Pools that there are stay as they"
        " are.",
    )
    SIMULATION_VOLATILITY_BPS: Annotated[
        Decimal, values.number("0", str(MOST_VOLATILE), "bps", Decimal)
    ] = setting(
        "2",
        "How far a token's price goes in a second, about, and in t seconds sqrt(t) times as far."
        " 0: prices stand still.",
    )
    SIMULATION_PRICE_RANGES: Annotated[
        Mapping[str, PriceRange],
        values.assignments("ranges such as raydium=0.98-1.02,meteora=1", read_price_ranges, {}),
    ] = setting("", "Least and most of a venue's price, in the market's.", "per venue")
    SIMULATION_PRICE_PATH: Annotated[
        tuple[WrittenPath, ...],
        values.assignments(
            "paths such as SOL=-8%/60 @2026-11-29T15:00:00Z, one for a token", read_paths, ()
        ),
    ] = setting(
        "",
        "How tokens' prices move from a time on, in per cent and seconds: see docs/simulation.md."
        " Operators set paths in the admin, too. All processes need the same.",
    )
    SIMULATION_SEED: Annotated[
        str | None,
        values.text("a text of at most 100 characters", r".{1,100}", empty=None, is_ascii=False),
    ] = setting(
        None,
        "The same seed gives the same prices at the same times. Unset: one is drawn once and kept"
        " in the database. All processes need the same.",
    )
    SIMULATION_FAULTS: Annotated[
        Faults,
        values.assignments("faults such as send_dropped=0.1", read_faults, Faults()),
    ] = setting("", "Faults with their probabilities, see below.")


class WrongSettings(Exception):
    """Settings are wrong; the message has a sentence for each. None repeats a password."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


def environment_or_end(*, for_engine: bool = True) -> Environment:
    """Read the environment for a process that begins, and end the process if anything is wrong.

    :raises SystemExit: a setting is wrong. A sentence for each one was printed.
    """
    if WARNED not in os.environ:
        for sentence in look_alikes(os.environ):
            say(sentence)
    try:
        return read_environment(for_engine=for_engine)
    except WrongSettings as error:
        end_with(error.sentences)


def read_environment(*, for_engine: bool = False) -> Environment:
    """Read all settings. `for_engine`: a setting that the engine cannot do without must be there.

    :raises WrongSettings: some of them are wrong. The message names all of these at once.
    """
    wrong: dict[str, str] = {}
    try:
        environment = Environment()
    except ValidationError as error:
        wrong = {str(each["loc"][0]): str(each["ctx"]["error"]) for each in error.errors()}
        fields = Environment.model_fields
        environment = Environment(**{name: fields[name].default for name in wrong})
    sentences = [f"{name} {sentence}." for name, sentence in wrong.items()]
    sentences += contradictions(environment, wrong)
    has_key = environment.SECRET_KEY or environment.DEBUG or "SECRET_KEY" in wrong
    if for_engine and environment.DATABASE_URL and not has_key:
        takes = reading_of("SECRET_KEY").takes
        sentences += [f"SECRET_KEY is not set, and DATABASE_URL is: it has to be {takes}."]
    if sentences:
        raise WrongSettings(sentences)
    return environment


def data_directory() -> Path:
    """Return the folder of this run's state: ENGINE_DATA_DIR, else `.data` in the project."""
    return Path(read_environment().ENGINE_DATA_DIR or PROJECT / ".data").resolve()


def contradictions(environment: Environment, unknown: Iterable[str]) -> Iterator[str]:
    """Say which settings contradict each other. Those in `unknown` could not be read."""
    default = int(Environment.model_fields["HSTS_SECONDS"].default)
    if (
        "HTTPS" not in unknown
        and not environment.HTTPS
        and environment.HSTS_SECONDS not in (0, default)
    ):
        yield "HSTS_SECONDS is set, and HTTPS is off: it has to be unset, or HTTPS true."
    timed = {"SIMULATION_QUOTE_LATENCY", "QUOTE_TIMEOUT"}
    if (
        timed.isdisjoint(unknown)
        and environment.SIMULATION_QUOTE_LATENCY > environment.QUOTE_TIMEOUT
    ):
        yield (
            "SIMULATION_QUOTE_LATENCY is above QUOTE_TIMEOUT, so that no venue would ever quote in"
            " time: it has to be at most that."
        )
    clear = [
        origin
        for origin in environment.ALLOWED_ORIGINS
        if origin.startswith("http:") and not is_near(origin)
    ]
    if environment.HTTPS and clear:
        yield (
            f"ALLOWED_ORIGINS has {clear[0]}, and HTTPS is on: anybody on the way may write such a"
            " page, so it has to begin with https://."
        )

    yield from half_wallets(environment)


def half_wallets(environment: Environment) -> Iterator[str]:
    """Say what is missing of a wallet that is set up, or contradicts another part of it.

    Whether there is a key is not looked at: processes that sign nothing are not told of it.
    """
    most, in_a_day = environment.SOLANA_MAX_ORDER_VALUE, environment.SOLANA_MAX_DAY_VALUE
    if most is not None and in_a_day is not None and most > in_a_day:
        yield "SOLANA_MAX_ORDER_VALUE is above SOLANA_MAX_DAY_VALUE: it has to be at most that."
    if environment.SOLANA_KEY_FILE and environment.SOLANA_SIGNER_URL:
        yield "SOLANA_KEY_FILE and SOLANA_SIGNER_URL are set: it has to be one of them."
    if environment.SOLANA_SIGNER_URL and not environment.SOLANA_WALLET:
        yield "SOLANA_SIGNER_URL is set, and SOLANA_WALLET is not: it has to be its address."
    if environment.SOLANA_SIGNER_TOKEN and not environment.SOLANA_SIGNER_URL:
        yield "SOLANA_SIGNER_TOKEN is set, and SOLANA_SIGNER_URL is not: it has to be both."
    if bool(environment.SOLANA_TIP) != bool(environment.SOLANA_TIP_RECEIVER):
        yield "SOLANA_TIP and SOLANA_TIP_RECEIVER belong together: it has to be both or none."
    if environment.SOLANA_LIVE:
        yield from half_live(environment)


def half_live(environment: Environment) -> Iterator[str]:
    """Say what is missing where tokens of value may be traded."""
    if environment.VENUES != "solana":
        yield "SOLANA_LIVE is on, and VENUES is simulated: it has to be off, or VENUES solana."
    needed = ("SOLANA_RPC_URLS", "SOLANA_MAX_ORDER_VALUE", "SOLANA_MAX_DAY_VALUE")
    for name in needed:
        if not getattr(environment, name):
            takes = reading_of(name).takes
            yield f"{name} is not set, and SOLANA_LIVE is on: it has to be {takes}."
    if environment.DEBUG:
        yield "DEBUG is on, and SOLANA_LIVE too: it has to be off where tokens have value."
    urls = (*environment.SOLANA_RPC_URLS, *environment.SOLANA_SEND_URLS)
    if any(url.startswith("http:") and not is_near(_origin_of(url)) for url in urls):
        yield (
            "SOLANA_RPC_URLS or SOLANA_SEND_URLS has one of http, and SOLANA_LIVE is on: anybody on"
            " the way may answer, so it has to begin with https://."
        )


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_near(origin: str) -> bool:
    """Whether a page of this origin comes from the browser's own machine."""
    return bool(re.fullmatch(r"http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?", origin))


def look_alikes(names: Iterable[str]) -> Iterator[str]:
    """Warn of variables that no code reads but that look like a setting of ours."""
    known = {comparable(name): name for name in Environment.model_fields}
    for name in sorted(set(names) - set(known.values()) - {WARNED}):
        bare = re.sub(r"^(DJANGO|ENGINE)_(?=.)", "", name.upper())
        alike = get_close_matches(comparable(name), known, 1, ALIKE)
        alike = alike or get_close_matches(comparable(bare), known, 1, ALIKE)
        if not alike:
            best = max(known, key=lambda key: likeness(bare, known[key]))
            alike = [best] if likeness(bare, known[best]) else []
        if not alike and name.startswith("SIMULATION_"):
            alike = get_close_matches(comparable(name), known, 1, 0)
        if alike:
            yield f"{name} is no setting and has no effect: {known[alike[0]]} is probably meant."


def likeness(name: str, setting: str) -> int:
    """Return how many words two names share; 0 if more differs than order, unit or one word."""
    ours, theirs = ({word.rstrip("S") for word in text.split("_")} for text in (setting, name))
    shared = len(ours & theirs)
    is_same = ours == theirs - UNITS and shared >= 2
    is_one_off = shared == len(ours) - 1 == len(theirs) - 1 and shared >= 2
    return 2 * shared if is_same else shared if is_one_off else 0


def comparable(name: str) -> str:
    """Return a name without the details that people often get wrong."""
    return name.upper().replace("_", "")


def reading_of(name: str) -> Reading:
    (reading,) = (
        mark for mark in Environment.model_fields[name].metadata if isinstance(mark, Reading)
    )
    return reading
