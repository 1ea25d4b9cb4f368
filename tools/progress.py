"""How far an upload has come: a bar on a terminal, a line now and then elsewhere."""

import shutil
import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final, TextIO

DRAWN_EACH: Final = 0.2
LINE_EACH: Final = 10
"""How many per cent there are between two lines, where there is no terminal."""

SPEED_OVER: Final = 15.0
"""Over how many seconds the speed is taken."""

_UNIT = 1024


class Progress:
    """Counts the bytes that are in S3, and shows them."""

    def __init__(
        self,
        total: int,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._stream, self._clock = total, stream, clock
        self._done = self._sent = 0
        self._is_terminal = stream.isatty()
        self._lock = Lock()
        self._recent: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._drawn = float("-inf")
        self._reported = -1
        self._is_open = False

    def arrived(self, size: int) -> None:
        """Count bytes that were there before."""
        with self._lock:
            self._done += size
            # The time that it took to see that tells nothing of the speed.
            self._recent = deque([(self._clock(), self._sent)])

    def sent(self, size: int) -> None:
        """Count bytes that were sent now; a negative size takes back what failed."""
        with self._lock:
            self._done += size
            self._sent += size

    def show(self) -> None:
        """Show how far it is, if it is time to."""
        now = self._clock()
        if now - self._drawn < DRAWN_EACH:
            return
        self._drawn = now
        with self._lock:
            self._recent.append((now, self._sent))
            while now - self._recent[1][0] > SPEED_OVER:
                self._recent.popleft()
        if self._is_terminal:
            self._draw()
        elif self._percent() >= self._reported + LINE_EACH or self._reported < 0:
            self._reported = self._percent() // LINE_EACH * LINE_EACH
            self._stream.write(f"{self._text()}\n")
            self._stream.flush()

    def end(self) -> None:
        """
        Show how far it came; what is written from now on stands on lines of its own.
        """
        self._drawn = float("-inf")
        if self._is_terminal or self._percent() > self._reported:
            self._reported = -1
            self.show()
        if self._is_open:
            self._stream.write("\n")
            self._stream.flush()
            self._is_open = False

    def _draw(self) -> None:
        text = self._text()
        columns = shutil.get_terminal_size().columns - 1
        room = min(columns - len(text) - 3, 40)
        if room > 0:
            full = room * self._done // self._total
            text = f"[{'#' * full}{'.' * (room - full)}] {text}"
        self._stream.write(f"\r{text[:columns]}\x1b[K")
        self._stream.flush()
        self._is_open = True

    def _text(self) -> str:
        text = f"{_bytes(self._done)} of {_bytes(self._total)}, {self._percent()} %"
        speed = self._speed()
        if speed <= 0:
            return text
        left = (self._total - self._done) / speed
        return f"{text}, {_bytes(speed)}/s, {_time(left)} left"

    def _percent(self) -> int:
        return 100 * self._done // self._total

    def _speed(self) -> float:
        with self._lock:
            (start, before), (end, after) = self._recent[0], self._recent[-1]
        return (after - before) / (end - start) if end > start else 0.0


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _UNIT:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= _UNIT
    return f"{size:.1f} TiB"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
