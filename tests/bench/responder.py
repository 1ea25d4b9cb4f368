"""`python -m tests.bench.responder FILE`: answers as recorded, and costs no time else.

It writes its port, and ends with its standard input.
"""

import json
import os
import re
import socket
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "TABLE_NAME": "bench",
    "BUCKET_NAME": "bench",
    "QUEUE_URL": "https://queue.invalid/uploads",
    "IMPORT_QUEUE_URL": "https://queue.invalid/imports",
    "AUTH": "development",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_WRITES = ("PutItem", "UpdateItem", "TransactWriteItems")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_OPERATION = re.compile(rb"(?i)\r\nx-amz-target: *\w+\.(\w+)")


def _key(operation: str, asked: Any) -> tuple[str, str]:
    """Return what two calls share that get the same answer, whenever they are made."""
    if operation in _WRITES:
        return operation, ""
    return operation, _TIME.sub("", json.dumps(asked, sort_keys=True))


def _response(text: str) -> bytes:
    content = text.encode()
    return (
        "HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Sat, 28 Nov 2026 07:00:00 GMT\r\n"
        "Content-Type: application/x-amz-json-1.0\r\nConnection: keep-alive\r\n"
        f"Content-Length: {len(content)}\r\nx-amzn-RequestId: {'R' * 52}\r\n"
        f"x-amz-crc32: {zlib.crc32(content)}\r\n\r\n"
    ).encode() + content


def _serve(client: socket.socket, answers: dict[tuple[str, str], bytes]) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    got = b""
    while True:
        while b"\r\n\r\n" not in got:
            some = client.recv(65_536)
            if not some:
                return
            got += some
        head, _, got = got.partition(b"\r\n\r\n")
        (length,) = _LENGTH.findall(head)
        while len(got) < int(length):
            got += client.recv(65_536)
        body, got = got[: int(length)], got[int(length) :]
        (operation,) = _OPERATION.findall(head)
        client.sendall(answers[_key(operation.decode(), json.loads(body))])


def main() -> None:
    """Answer until standard input ends."""
    said = json.loads(Path(sys.argv[1]).read_text("utf-8"))["said"]
    answers: dict[tuple[str, str], bytes] = {}
    for operation, asked, text in said:
        answers.setdefault(_key(operation, asked), _response(text))
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()

    def end() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_serve, args=(client, answers), daemon=True).start()


if __name__ == "__main__":
    main()
