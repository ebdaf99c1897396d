"""HTTP/2 by hand: what no client of gRPC would send, or how none would read."""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8
END_STREAM, END_HEADERS = 1, 4
WINDOW_MAX = (1 << 31) - 1
TIMEOUT_S = 20


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """HPACK: literal without indexing, new name."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


RECOMMEND = (b"\x83\x86" + literal(b":path", b"/freshet.v1.Recommender/Recommend") + literal(b":authority", b"localhost") +
             literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers"))
HELLO = PREFACE + frame(SETTINGS, 0, 0)
# The same from somebody whom all may be sent at once, on each stream and on all of them together.
HELLO_WIDE = (PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WINDOW_MAX)) +
              frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_MAX - 65535)))


def question(stream, request):
    """A whole call of Recommend; request: serialized."""
    return (frame(HEADERS, END_HEADERS, stream, RECOMMEND) +
            frame(DATA, END_STREAM, stream, b"\0" + struct.pack(">I", len(request)) + request))


def reset(stream):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", 8))


def frames(received):
    """[(kind, flags, stream, payload)] of all that was received."""
    found, at = [], 0
    while at < len(received):
        length, = struct.unpack(">I", b"\0" + received[at:at + 3])
        kind, flags, stream = struct.unpack(">BBI", received[at + 3:at + 9])
        assert at + 9 + length <= len(received), "the last frame is cut short"
        found.append((kind, flags, stream, received[at + 9:at + 9 + length]))
        at += 9 + length
    return found


def connect(address, source=None, receives=None):
    """address: host:port. source: from where. receives: how much may wait unread in this machine, about."""
    host, port = address.rsplit(":", 1)
    connection = socket.socket()
    connection.settimeout(TIMEOUT_S)
    if receives:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    if source:
        connection.bind((source, 0))
    connection.connect((host, int(port)))
    return connection


def closed_by_peer(connection):
    connection.setblocking(False)
    try:
        while True:
            if not connection.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True
