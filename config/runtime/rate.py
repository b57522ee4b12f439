"""A rate as it is written in settings: `100/m`, `5/s`, `unlimited`."""

import re
from dataclasses import dataclass

SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate | None":
        """Return the rate, or None for `unlimited`.

        :raises ValueError: the text is neither.
        """
        if text.strip().lower() == "unlimited":
            return None
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([smh])\s*", text)
        if match is None or int(match[1]) == 0:
            raise ValueError(f"{text!r} is not a rate such as '100/m', '5/s' or 'unlimited'")
        return cls(int(match[1]), SECONDS[match[2]])
