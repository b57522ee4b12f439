import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support.venue_contract")
sys.path.append(str(Path(__file__).resolve().parent.parent / "client"))  # a package of its own
