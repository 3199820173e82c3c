"""Are numbers finite? From their bytes alone, little endian, without a library: nan and the infinities have all bits of the exponent set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Raw = bytes | bytearray


def _marks(bits: int) -> bytes:
    """1 for a byte that has all these bits, 0 for others."""
    return bytes(b & bits == bits for b in range(256))


@dataclass(frozen=True, slots=True)
class _Form:
    """A number's bytes, the bits of its exponent in the highest and the next one, and how many bits its fraction has."""

    size: int
    high: bytes
    low: bytes | None
    fraction: int


_FORMS: Mapping[str, _Form] = {
    "float64": _Form(8, _marks(0x7F), _marks(0xF0), 52),
    "float32": _Form(4, _marks(0x7F), _marks(0x80), 23),
    "bfloat16": _Form(2, _marks(0x7F), _marks(0x80), 7),
    "float16": _Form(2, _marks(0x7C), None, 10),
    "float8_e5m2": _Form(1, _marks(0x7C), None, 2),
    # It has no infinities, and nan alone has all its bits set.
    "float8_e4m3fn": _Form(1, _marks(0x7F), None, 3),
}


def first_odd(raw: Raw, dtype: str) -> tuple[int, str] | None:
    """The index of the first number that is not finite, and what it is: nan, inf or -inf. None where all are, and for whole numbers."""
    form = _FORMS.get(dtype)
    if form is None:
        return None
    found = raw[form.size - 1 :: form.size].translate(form.high)
    if found.find(1) >= 0 and form.low is not None:
        low = raw[form.size - 2 :: form.size].translate(form.low)
        found = (int.from_bytes(found, "little") & int.from_bytes(low, "little")).to_bytes(len(found), "little")
    at = found.find(1)
    if at < 0:
        return None
    number = int.from_bytes(raw[at * form.size : (at + 1) * form.size], "little")
    nan = number & ((1 << form.fraction) - 1)
    return at, "nan" if nan else "-inf" if number >> (8 * form.size - 1) else "inf"
