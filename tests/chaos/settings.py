"""The tests' settings, and the switches that take a part of the engine away."""

from tests.settings import *
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.switches.Switches"]
