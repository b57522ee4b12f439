"""Bitcoin's base58, in which Solana writes addresses and signatures."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(ALPHABET)}


def base58(data: bytes) -> str:
    """Return `data` in Bitcoin's base58; each leading zero byte is a leading 1."""
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, value = divmod(number, 58)
        digits.append(ALPHABET[value])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


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
