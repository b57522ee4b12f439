"""The simulated engine is what it was: it loads nothing that real transactions need."""

import os
import subprocess
import sys

from config.environment.data_folder import PROJECT

LOAD_ALL = """
import pkgutil, importlib, sys
import manage  # which finds the client, too
import django
django.setup()
import config, orders, routing
OUTSIDE = {
    *("routing.solana", "routing.cluster", "routing.venues.live"),
    "routing.operations.live_pools",
}
def load(package):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if found.name not in OUTSIDE and not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            if found.ispkg:
                load(module)
for package in (config, orders, routing):
    load(package)
print(len(sys.modules))
print(sorted({name.split(".")[0] for name in sys.modules} & {"solders", "aiohttp"}))
print([name for name in sys.modules if name.startswith(("routing.solana", "routing.cluster"))])
"""


def test_no_module_of_the_simulated_engine_imports_what_real_transactions_need() -> None:
    command = [sys.executable, "-W", "ignore", "-c", LOAD_ALL]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    ran = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
    count, libraries, modules = ran.stdout.splitlines()[-3:]
    assert int(count) > 1_000
    assert (libraries, modules) == ("[]", "[]")
