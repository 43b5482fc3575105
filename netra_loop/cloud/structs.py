"""`google.protobuf.Struct` -> plain values.

JSON payloads come by the hundred thousand, and asking a message for each of its values takes twice the time of reading
the bytes they are sent in (protobuf's wire format: a field's number and kind, then its length, then its content). Most
say the same as those before them but for a few fields, so short fields are remembered by their bytes. What those bytes
may say beyond a Struct's own fields is left to the message itself.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Any

_DOUBLE = Layout("<d").unpack_from
# A field's number and kind, each in one byte.
_FIELDS = _KEY = _ITEMS = 0x0A  # of a Struct, of one of its fields, of a ListValue: number 1, of some length
_VALUE = 0x12  # of a field: number 2, of some length
_NULL, _NUMBER, _STRING, _BOOL, _STRUCT, _LIST = 0x08, 0x11, 0x1A, 0x20, 0x2A, 0x32  # of a Value

_SHORT = 0x7F  # bytes of a field that is remembered, so that its length is one
_MOST = 4096  # that are remembered at one time
_remembered: dict[bytes, tuple[str, Any]] = {}  # by a field's bytes: key and value


class _StrangeError(Exception):
    """A field that a Struct has not."""


def struct_of(struct: Any) -> dict[str, Any]:
    """A Struct as plain values; every number is a float, as JSON's are. Lists and mappings in it may be the very same
    as in another's: nobody changes a payload.
    """
    raw = struct.SerializeToString()
    try:
        return _fields(raw, 0, len(raw))
    except _StrangeError:
        return asked(struct)


def asked(struct: Any) -> dict[str, Any]:
    """The same by asking the message for each value."""
    return {key: _asked(value) for key, value in struct.fields.items()}


def _asked(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return asked(value.struct_value)
    if kind == "list_value":
        return [_asked(item) for item in value.list_value.values]
    return None if kind in {None, "null_value"} else getattr(value, kind)


def _fields(raw: bytes, at: int, end: int) -> dict[str, Any]:
    fields, remembered = {}, _remembered
    while at < end:
        stop = at + 2 + raw[at + 1]
        known = remembered.get(raw[at:stop])
        if known is None:
            key, value, at = _field(raw, at)
        else:
            key, value = known
            at = stop
        fields[key] = value
    return fields


def _field(raw: bytes, at: int) -> tuple[str, Any, int]:
    """Key and value of the field that begins at `at`, and where it ends."""
    if raw[at] != _FIELDS:
        raise _StrangeError
    begin, size = at, raw[at + 1]
    at += 2
    if size > 0x7F:
        size, at = _size(raw, at - 1)
    stop = at + size
    if raw[at] != _KEY:
        raise _StrangeError
    size = raw[at + 1]
    at += 2
    if size > 0x7F:
        size, at = _size(raw, at - 1)
    key = raw[at : at + size].decode()
    at += size
    if raw[at] != _VALUE:
        raise _StrangeError
    size = raw[at + 1]
    at += 2
    if size > 0x7F:
        size, at = _size(raw, at - 1)
    if at + size != stop:
        raise _StrangeError
    # most are short texts
    if size > 1 and raw[at] == _STRING and raw[at + 1] == size - 2 < 0x80:
        value: Any = raw[at + 2 : stop].decode()
    else:
        value = _value(raw, at, stop)
    if stop - begin <= _SHORT:
        if len(_remembered) >= _MOST:
            _remembered.clear()
        _remembered[raw[begin:stop]] = key, value
    return key, value, stop


def _value(raw: bytes, at: int, stop: int) -> Any:
    if at == stop:
        return None
    kind = raw[at]
    if kind == _NUMBER and at + 9 == stop:
        return _DOUBLE(raw, at + 1)[0]
    if kind in {_BOOL, _NULL} and at + 2 == stop:
        return None if kind == _NULL else raw[at + 1] == 1
    size = raw[at + 1]
    at += 2
    if size > 0x7F:
        size, at = _size(raw, at - 1)
    if at + size != stop:
        raise _StrangeError
    if kind == _STRING:
        return raw[at:stop].decode()
    if kind == _STRUCT:
        return _fields(raw, at, stop)
    if kind == _LIST:
        return _items(raw, at, stop)
    raise _StrangeError


def _items(raw: bytes, at: int, end: int) -> list[Any]:
    items = []
    while at < end:
        if raw[at] != _ITEMS:
            raise _StrangeError
        size, at = _size(raw, at + 1) if raw[at + 1] > 0x7F else (raw[at + 1], at + 2)
        items.append(_value(raw, at, at + size))
        at += size
    return items


def _size(raw: bytes, at: int) -> tuple[int, int]:
    """A length, seven bits in each byte, the lowest first; and where it ends."""
    size = shift = 0
    while raw[at] > 0x7F:
        size |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
    return size | raw[at] << shift, at + 1
