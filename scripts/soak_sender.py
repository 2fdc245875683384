"""Send a simulated amplifier and its markers for hours; `scripts/soak.py` starts this process.

It sends ten seconds of a simulated participant forwards, then backwards, and so on, so that the
signal has no jumps. One more channel holds the number of each sample; every half minute 50 ms are
NaN. A line on standard input stops it; it then reports how many samples it has sent, and ends when
its input ends.

    python scripts/soak_sender.py SOURCE_ID CHANNELS SFREQ N_SAMPLES
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from pylsl import local_clock  # noqa: E402

from rt_decoder.files.recording import Recording  # noqa: E402
from rt_decoder.signal import SignalInfo  # noqa: E402
from rt_decoder.simulation.participant import Participant  # noqa: E402
from rt_decoder.sinks.outlets import data_outlet, marker_outlet  # noqa: E402
from tests.small import VECTORS, WORDS  # noqa: E402

NUMBER = "NUMBER"  # the channel that counts
PIECE_S = 10.0
BLOCK_S = 0.02
MARKER_EVERY_S = 1.0
BAD_EVERY_S, BAD_S = 30.0, 0.05
WAIT_S = 60.0  # for consumers


def make_recording(n_channels: int, sfreq: float) -> Recording:
    """Simulate the piece that is repeated; its channel `NUMBER` is empty."""
    participant = Participant(VECTORS, WORDS, n_channels=n_channels, sfreq=sfreq)
    simulation = participant.simulate(duration=PIECE_S, seed=1, components=False)
    info, n = simulation.info, len(simulation.data)
    info = SignalInfo(
        sfreq, (*info.ch_names, NUMBER), (*info.ch_types, "misc"), (*info.units, "n/a")
    )
    data = np.column_stack((simulation.data, np.zeros(n)))
    stamps = np.arange(n) / sfreq
    return Recording(data, stamps, info, simulation.events, name="soak")


def block_of(data: np.ndarray, first: int, stop: int, sfreq: float) -> np.ndarray:
    """Return samples `first` to `stop` - 1 of the endless stream."""
    numbers = np.arange(first, stop)
    place = numbers % (2 * len(data))
    block = data[np.minimum(place, 2 * len(data) - 1 - place)]
    bad = (numbers / sfreq) % BAD_EVERY_S >= BAD_EVERY_S - BAD_S
    block[bad] = np.nan
    block[:, -1] = numbers
    return block


def send(source_id: str, n_channels: int, sfreq: float, n: int) -> None:
    recording = make_recording(n_channels, sfreq)
    outlet = data_outlet(source_id, recording.info, source_id)
    markers = marker_outlet(f"{source_id}-markers", f"{source_id}-markers")
    stop = threading.Event()
    gone = threading.Event()
    threading.Thread(target=listen, args=(stop, gone), daemon=True).start()
    say(opened=True)
    end = time.monotonic() + WAIT_S
    while not (outlet.have_consumers() and markers.have_consumers()):
        if stop.wait(0.01) or time.monotonic() > end:
            return
    start, sent, marked = local_clock() + 0.1, 0, 0
    while sent < n and not stop.is_set():
        due = min(n, int((local_clock() - start) * sfreq))
        if due <= sent:
            stop.wait(BLOCK_S)
            continue
        due = min(due, sent + round(sfreq))  # after a pause, at most a second at a time
        block = block_of(recording.data, sent, due, sfreq)
        outlet.push_chunk(block, (start + np.arange(sent, due) / sfreq).tolist())
        sent = due
        while marked * MARKER_EVERY_S + PIECE_S < sent / sfreq:
            onset = start + marked * MARKER_EVERY_S + PIECE_S
            markers.push_sample((WORDS[marked % len(WORDS)],), onset)
            marked += 1
        stop.wait(BLOCK_S)
    say(n_sent=sent, n_markers=marked)
    gone.wait(WAIT_S)  # keep the outlet until all is read


def listen(stop: threading.Event, gone: threading.Event) -> None:
    sys.stdin.readline()  # any line, or the end of the input, means stop
    stop.set()
    sys.stdin.read()
    gone.set()


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    send(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
