"""Make docs/settings.md from the declarations: `python -m config.environment.settings_page`."""

from config.environment.data_folder import PROJECT
from config.environment.variables import Environment, reading_of

PAGE = PROJECT / "docs/settings.md"
SECTIONS = {"DATABASE_URL": "Servers and Django", "DEFAULT_MARKET": "Orders"} | {
    "SIMULATION_QUOTE_LATENCY": "The simulation"
}
"""The headings, by the setting that each stands above."""

BEFORE = """\
# Settings

Read from the environment once, when a process starts. A value that cannot be read, is out of bounds
or contradicts another stops the process before it has started anything: with code 2, and with one
sentence for each such setting, which says what is wrong and what would be right. No sentence
repeats a password. An unknown name that looks like one of these is warned of.

Numbers are written with digits alone, with a point where they may have one: `1e3`, `2m` and `+5`
are refused. An empty value is one only where the default is none. Nothing is put in the place of
`$NAME`. `.env.example` is this list as a file. This page is made from the declarations in
config/environment/variables.py by `.venv/bin/python -m config.environment.settings_page`.
"""
COLUMNS = "| name | what it takes | default | what it does |\n|---|---|---|---|\n"
BETWEEN = {
    "Orders": """\
Behind a proxy, `TRUSTED_PROXIES` says whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed;
without it links in answers say `http`, and all clients are one, the proxy.
"""
}
"""The text below a heading's line."""
AFTER = """\
[simulation.md](simulation.md) says what is simulated and how. Latencies may be 0. Faults are
written `name=probability`, separated by commas; those of venues may be given to one venue, as
`raydium.quote_timeout=0.5`.

| fault | whose | what happens |
|---|---|---|
| `quote_timeout` | venue | never answers |
| `quote_refused` | venue | is unavailable |
| `absurd_quote` | venue | quotes NaN, a negative or a tenfold price |
| `send_dropped` | network | a send is lost before it is recorded |
| `reply_lost` | network | a send is recorded and its answer lost |
| `landing_late` | network | lands later, at the latest just before it expires |
| `price_moved` | network | lands with an error: beyond the order's bound |
| `expiry` | network | is taken and never lands |
"""


def settings_page() -> str:
    """Return docs/settings.md."""
    parts = [BEFORE]
    for name in Environment.model_fields:
        if heading := SECTIONS.get(name):
            parts += [f"\n{BETWEEN[heading]}"] if heading in BETWEEN else []
            parts += [f"\n## {heading}\n\n{COLUMNS}"]
        parts += [row(name)]
    return "".join([*parts, f"\n{AFTER}"])


def row(name: str) -> str:
    field = Environment.model_fields[name]
    extra = field.json_schema_extra
    unset = str(extra["unset"]) if isinstance(extra, dict) else ""
    default = f"`{field.default}`" if field.default else unset
    return f"| `{name}` | {reading_of(name).takes} | {default} | {field.description} |\n"


if __name__ == "__main__":
    PAGE.write_text(settings_page())
