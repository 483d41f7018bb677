"""Memory stays flat however large the message is."""

import tempfile
import tracemalloc

import pytest

from satchel.mail.mime import decode, measure, read_structure

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        (b"base64", b"QUJD" * 19),
        (b"quoted-printable", b"caf=C3=A9 " * 7),
        (b"8bit", b"x" * 76),
        (b"8bit", b"\0" * 1998),
    ],
)
def test_a_large_message_is_never_held_whole(encoding: bytes, line: bytes) -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\n"
    with tempfile.TemporaryFile() as file:
        file.write(head + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n")
        lines = (line + b"\r\n") * (MIB // len(line))
        for _ in range(24):
            file.write(lines)
        file.write(b"--b--\r\n")
        file.flush()
        length = file.tell()
        del lines
        tracemalloc.start()
        try:
            (found,) = read_structure(file.fileno(), 0, length).attachments
            index = measure(file.fileno(), found)
            decoded = sum(len(piece) for piece in decode(file.fileno(), found, index))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert decoded == index.total > 10 * MIB
    assert peak < 6 * MIB
