from hypothesis import example, given
from hypothesis import strategies as st

from routing.base58 import base58, bytes_of_base58
from routing.simulation.wallet import sign


@given(st.binary(max_size=600))
@example(b"")
def test_a_signature_is_the_base58_of_64_bytes(payload: bytes) -> None:
    signature = sign(payload)

    signed = bytes_of_base58(signature)
    assert len(signed) == 64
    assert base58(signed) == signature


@given(st.binary(min_size=1, max_size=600), st.data())
def test_a_signature_depends_on_every_byte(payload: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(payload) - 1))
    changed = bytearray(payload)
    changed[place] ^= data.draw(st.integers(1, 255))

    assert sign(payload) == sign(payload)
    assert sign(payload) != sign(bytes(changed))
