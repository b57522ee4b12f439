"""Bitcoin's base58, in which Solana writes addresses and signatures."""

from itertools import product

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# Three digits at a time, and nine for each division of the long number. Pairs take twice as long.
_TRIPLES = ["".join(digits) for digits in product(_ALPHABET, repeat=3)]
_THREE = 58**3
_NINE = 58**9
_VALUES = {digit: value for value, digit in enumerate(_ALPHABET)}


def base58(data: bytes) -> str:
    """Return `data` in Bitcoin's base58; each leading zero byte is a leading 1."""
    number = int.from_bytes(data, "big")
    triples: list[str] = []
    while number:
        number, nine = divmod(number, _NINE)
        six, low = divmod(nine, _THREE)
        high, middle = divmod(six, _THREE)
        triples += _TRIPLES[low], _TRIPLES[middle], _TRIPLES[high]
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(triples)).lstrip("1")


def bytes_of_base58(text: str) -> bytes:
    """Return the bytes that `base58` writes as `text`.

    :raises ValueError: it has a character that base58 does not use.
    """
    number = 0
    for digit in text:
        if digit not in _VALUES:
            raise ValueError(f"{digit!r} is no digit of base58")
        number = number * 58 + _VALUES[digit]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes(-(-number.bit_length() // 8), "big")
