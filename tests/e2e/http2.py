"""HTTP/2 by hand, for peers that misbehave."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INITIAL_WINDOW_SIZE = 4
CANCEL = 8


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(text):
    data = text.encode()
    length = len(data)
    if length < 127:
        return bytes([length]) + data
    length -= 127
    head = b"\x7f"
    while length >= 128:
        head += bytes([length % 128 + 128])
        length //= 128
    return head + bytes([length]) + data


def headers(method, more=()):
    """The header block of a call, none of it compressed."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", f"/orders.v1.OrderService/{method}"),
              (":authority", "test"), ("te", "trailers"), ("content-type", "application/grpc"), *more]
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def message(body, compressed=0):
    return struct.pack(">BI", compressed, len(body)) + body


def call(stream, method, body=b"", more=(), compressed=0):
    """A whole call with one message."""
    return (frame(HEADERS, END_HEADERS, stream, headers(method, more)) +
            frame(DATA, END_STREAM, stream, message(body, compressed)))


class Peer:
    """A connection. What it does not read stays unread."""

    def __init__(self, address, receive_buffer=None):
        host, port = address.rsplit(":", 1)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self._unread = b""
        self.socket.connect((host, int(port)))

    def greet(self, settings=b""):
        self.send(PREFACE + frame(SETTINGS, payload=settings) + frame(SETTINGS, ACK))
        return self

    def send(self, data):
        """False if the server has closed the connection."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def frames(self):
        """What the server sends, frame by frame: type, flags, stream, payload."""
        while True:
            while len(self._unread) >= (end := 9 + int.from_bytes(self._unread[:3], "big")):
                kind, flags, stream = struct.unpack(">BBI", self._unread[3:9])
                payload, self._unread = self._unread[9:end], self._unread[end:]
                yield kind, flags, stream, payload
            more = self.socket.recv(65536)
            assert more, "the server has closed the connection"
            self._unread += more

    def read_until(self, wanted):
        """Reads until there is a frame of this type, which is returned: its payload."""
        return next(payload for kind, _, _, payload in self.frames() if kind == wanted)

    def end_of(self, wanted):
        """Reads until a call is over: the last frame of the stream, and the payload."""
        return next((kind, payload) for kind, flags, stream, payload in self.frames()
                    if stream == wanted and (kind == RST_STREAM or
                                             kind == HEADERS and flags & END_STREAM))

    def read_until_closed(self):
        data = b""
        try:
            while more := self.socket.recv(65536):
                data += more
        except ConnectionResetError:
            pass
        return data

    def is_closed(self):
        """Whether the server has closed it, without waiting."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self):
        self.socket.close()
