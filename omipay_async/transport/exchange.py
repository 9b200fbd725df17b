"""One request and its reply, read by means of h11. No I/O: ``connection`` writes the one and receives the other.

What h11 rejects and nobody needs is left out of a reply's head. A header line without a colon, a name with a space in
it, blank lines before the head, or ``Transfer-Encoding: identity``, as some servers add to every reply, changes nothing
about a body whose end is clear. h11 rejects the whole reply then, a payment included.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final

import attrs
import h11

from omipay_async.protocol.reply import LARGEST_REPLY, NEEDED_HEADERS

if TYPE_CHECKING:
    import asyncio

    RawHeaders = tuple[tuple[bytes, bytes], ...]

_LONGEST_HEAD: Final = 100 * 1024
_END: Final = re.compile(rb"\r?\n\r?\n")
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\0\r\n]*)")
_ANY_REQUEST: Final = h11.Request(method=b"GET", target=b"/", headers=[(b"Host", b"gateway")])
"""Where a reply ends does not depend on the request, except for methods that no endpoint has (HEAD, CONNECT)."""
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


@attrs.frozen
class Reply:
    """One reply as it arrived, with every header; ``Received`` keeps those that are read.

    A body of more than ``LARGEST_REPLY`` bytes is cut off somewhere after them.
    """

    status: int
    headers: list[tuple[bytes, bytes]] = attrs.field(repr=False)
    """Names and values as they were received."""
    body: bytes = attrs.field(repr=False)


@functools.lru_cache(maxsize=64)
def after_target(method: bytes, headers: RawHeaders) -> bytes:
    """What is written of a request after its target."""
    request = h11.Request(method=method, target=b"/", headers=list(headers))
    return h11.Connection(h11.CLIENT).send(request)[len(method) + len(b" /") :]


def _new_reader() -> h11.Connection:
    """A reader for the reply to a request that has been written already.

    h11 is not told of that request, which saves time at each call: to h11, the server replies before it was asked. That
    is allowed, except for an interim reply.
    """
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)


@attrs.define(eq=False, repr=False)
class Exchange:
    """The request that is under way, and what has arrived of its reply."""

    reply: asyncio.Future[Reply]
    _reader: h11.Connection = attrs.field(factory=_new_reader, init=False)
    _head: bytearray | None = attrs.field(factory=bytearray, init=False)
    """What has arrived of the reply's head; None once that was read."""
    _is_odd: bool = attrs.field(default=False, init=False)
    """Whether h11 would reject a head as it came. Then the connection is not used again."""
    _response: h11.Response = attrs.field(init=False)
    _body: list[bytes] = attrs.field(factory=list, init=False)
    _size: int = attrs.field(default=0, init=False)

    @property
    def has_reply(self) -> bool:
        """Whether the head of the reply has been read."""
        return self._head is None

    @property
    def another_may_follow(self) -> bool:
        """Whether the reply, which is complete, leaves the connection open for another request."""
        reader = self._reader
        return reader.their_state is h11.DONE and not reader.trailing_data[0] and not self._is_odd

    def receive(self, arrived: bytes) -> bool:
        """Take what has arrived of the reply; nothing at the end of the stream. Returns whether the reply is complete.

        Raises:
            h11.RemoteProtocolError: it is not a reply.
        """
        if self._head is not None:
            if arrived and not self._head:
                arrived = self._without_blank_lines(arrived)
                if not arrived:
                    return False
            self._head += arrived
        self._reader.receive_data(arrived)
        while True:
            try:
                return self._read()
            except h11.RemoteProtocolError:
                if not self._begin_again():
                    raise

    def _without_blank_lines(self, arrived: bytes) -> bytes:
        """What stands after the blank lines before a head, where HTTP has none."""
        head = arrived.lstrip(b"\r\n")
        self._is_odd = self._is_odd or head != arrived
        return head

    def _read(self) -> bool:
        while self._size <= LARGEST_REPLY:
            event: Any = self._reader.next_event()
            kind = type(event)
            if kind is h11.Data:
                self._body.append(event.data)
                self._size += len(event.data)
            elif kind is h11.Response:
                self._response, self._head = event, None
            elif kind is h11.EndOfMessage:
                break
            elif kind is h11.InformationalResponse:
                self._begin_next_head(self._reader.trailing_data[0])
            else:
                return False  # there is more to come
        return True

    def _begin_next_head(self, arrived: bytes) -> None:
        head = self._without_blank_lines(arrived)
        self._head = bytearray(head)
        if head != arrived:
            self._reader = _new_reader()
            if head:  # nothing would mean the end of the stream
                self._reader.receive_data(head)

    def _begin_again(self) -> bool:
        """Begin again with a head that h11 has rejected. Returns False if no way to read it is left.

        First h11 is told of a request, for an interim reply; then the head is read without what nobody needs.
        """
        if self._head is None:
            return False
        head = bytes(self._head)
        if self._reader.our_state is not h11.IDLE:  # it was told of a request already
            plain = plain_head(head)
            if plain is None:
                return False
            head, self._head, self._is_odd = plain, None, True
        self._reader = _new_reader()
        self._reader.send(_ANY_REQUEST)
        self._reader.receive_data(head)
        return True

    def finish(self) -> None:
        """Hand the reply, which is complete, to whoever waits for it."""
        if not self.reply.done():
            response = self._response
            self.reply.set_result(Reply(response.status_code, response.headers.raw_items(), b"".join(self._body)))

    def fail(self, error: Exception) -> None:
        """Let whoever waits for the reply get ``error``."""
        if not self.reply.done():
            self.reply.set_exception(error)


# -- a head that h11 rejects ------------------------------------------------------------------------------------------


def plain_head(received: bytes) -> bytes | None:
    """``received`` without the headers that are malformed or not needed; None if the head is not complete.

    All headers that tell where the body ends stay: if one of them is malformed, nobody knows where that is.
    """
    end = _END.search(received)
    if end is None:
        return None
    status, *lines = re.split(rb"\r?\n", received[: end.start()])
    kept = [line for line in lines if _is_needed(line)]
    return b"\r\n".join((status, *kept, b"", received[end.end() :]))


def _is_needed(line: bytes) -> bool:
    header = _LINE.fullmatch(line)
    if header is None:
        # A malformed header that would tell where the body ends stays, and h11 rejects it.
        return line.lstrip().lower().startswith(tuple(_FRAMING))
    name, value = header[1].lower(), header[2].strip().lower()
    says_nothing = name == b"transfer-encoding" and value in (b"", b"identity")
    return name in NEEDED_HEADERS or (name in _FRAMING and not says_nothing)
