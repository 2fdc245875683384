"""Streams that are lost, late, many, or not alone."""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pylsl
from edge_cases import load_markers  # its cases are of this kind
from edge_cases.case import case, rt_decoder
from edge_cases.live_run import SFREQ, Amp, Live, fresh, marks, model_file, until

from rt_decoder.sources import streams as streams_module
from rt_decoder.sources.lsl.find import resolve
from rt_decoder.timing.markers import MarkerRules

__all__ = ["load_markers"]


def standing_still(
    folder: Path, seconds: float, sfreq: float = SFREQ, mark: float = 0.0, **options: Any
) -> tuple[Live, dict[str, Any]]:
    """A consumer that stands still while `seconds` of samples come."""
    me = fresh()
    amp, words = Amp(me, sfreq=sfreq), marks(f"{me}-m")
    live = Live(folder, me, f"{me}-m", **options)
    live.connected(amp.outlet, words)
    amp.start -= seconds + 10.0  # all samples are of the past, as on this machine's clock
    there = threading.Event()
    live.hold = lambda _: there.wait(60.0)
    steadily(live, amp, 30)
    words.push_sample(["1"], amp.at(1.5 * sfreq))
    until(lambda: live.session.counts["markers_received"])
    amp.send(int(0.1 * sfreq))
    until(lambda: live.answers)  # now it is held
    if mark:
        words.push_sample(["2"], amp.at((3 + mark) * sfreq))
    for _ in range(int(10 * seconds)):
        amp.send(int(0.1 * sfreq))
    until(lambda: live.session.source.waiting() >= int(10 * seconds) * int(0.1 * sfreq))
    live.hold = lambda _: None
    there.set()
    live.has(amp.row)
    steadily(live, amp, 20)
    return live, live.finish()


def steadily(live: Live, amp: Amp, n: int) -> None:
    """Send n tenths of a second, none before the last is decoded."""
    for _ in range(n):
        amp.send(int(0.1 * amp.sfreq))
        live.has(amp.row)


@case("load", "a backlog of 4 s at 20 kHz is skipped", "overruns 0: a pull held 0.2 s at most")
def skipped_at_20_khz(folder: Path) -> str:
    _, footer = standing_still(folder, 4.0, 20_000.0, skip=True)
    assert footer["counts"]["overruns"] == 1, footer["counts"]
    assert footer["counts"]["skipped_samples"] > 3.5 * 20_000
    assert footer["backlog_ms"]["max"] > 3500
    return f"{footer['counts']['skipped_samples']} samples skipped; the record decodes alike"


@case("load", "a backlog of 4 s with --max-behind 2000", "overruns 0: a pull held 1 s at most")
def skipped_above_a_second(folder: Path) -> str:
    live, footer = standing_still(folder, 4.0, skip=True, max_behind=2.0)
    assert footer["counts"]["overruns"] == 1, footer["counts"]
    kinds = [line["event"] for line in live.events if line["event"] != "live"]
    assert kinds[:3] == ["behind", "overrun", "caught_up"], kinds
    return ", ".join(kinds[:3])


@case("load", "catching up is told, too", "no event; backlog_ms 1000")
def caught_up(folder: Path) -> str:
    live, footer = standing_still(folder, 4.0)
    kinds = [line["event"] for line in live.events if line["event"] != "live"]
    assert kinds == ["behind", "caught_up"], kinds
    assert footer["backlog_ms"]["max"] > 3500
    assert "skipped_samples" not in footer["counts"]
    return f"behind, caught_up; backlog {footer['backlog_ms']['max']:.0f} ms"


@case("load", "catching up at 20 kHz is told, too", "no event; backlog_ms 204")
def caught_up_at_20_khz(folder: Path) -> str:
    live, footer = standing_still(folder, 4.0, 20_000.0)
    kinds = [line["event"] for line in live.events if "live" not in line["event"]]
    assert [kind for kind in kinds if kind != "stale"] == ["behind", "caught_up"], kinds
    assert footer["backlog_ms"]["max"] > 3500
    return f"behind, caught_up; backlog {footer['backlog_ms']['max']:.0f} ms"


@case("load", "a marker among skipped samples says so", "need samples ...; give it more capacity")
def marker_among_skipped(folder: Path) -> str:
    live, _ = standing_still(
        folder, 9.0, mark=1.0, skip=True, rules=MarkerRules(wait=1.0), max_behind=1.0
    )
    (lost,) = live.told("marker_lost")
    assert lost["reason"] == "samples of its window were skipped: the decoder was behind", lost
    return lost["reason"]


# --- what is taken for the stream


def in_the_place_of(stream: pylsl.StreamInfo) -> pylsl.StreamInfo:
    """What a search found before this outlet took the port of one that has ended."""
    xml = stream.as_xml().replace(stream.uid(), "00000000-0000-4000-8000-000000000000")
    read = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(
        ("lsl_streaminfo_from_xml", pylsl.lib.lib)
    )
    return pylsl.StreamInfo(handle=read(xml.encode()))


def lost_and_back(folder: Path, meanwhile: Any, select: Any = None) -> Live:
    """A session whose stream dies and comes back; `meanwhile(id)` is there until then."""
    me = fresh()
    amp = Amp(me)
    live = Live(folder, me, **({"selection": select(me)} if select else {}))
    live.connected(amp.outlet)
    amp.send(500)
    live.has(500)
    there = meanwhile(me)
    amp.close()
    live.told("lost")
    time.sleep(2.5)  # it looks, and must not take what is there
    assert not live.ended, live.error
    del there
    amp = Amp(me)
    live.connected(amp.outlet)
    live.told("returned")
    amp.send(500)
    live.has(1000)
    return live


@case("load", "an outlet that took the freed port", "exit 1: channels of another stream")
def took_the_port(folder: Path) -> str:
    other = Amp(fresh(), names=("A", "B"))
    stale = in_the_place_of(resolve(source_id=other.name))
    asked: list[int] = []

    def once(**selection: Any) -> pylsl.StreamInfo:
        asked.append(1)
        return stale if len(asked) < 3 else resolve(**selection)

    with patch.object(streams_module, "resolve", lambda **wanted: resolve(**wanted)) as _:

        def meanwhile(_: str) -> None:
            streams_module.resolve = once

        live = lost_and_back(folder, meanwhile)
    live.finish()
    reasons = [one["reason"] for one in live.told("not_back")]  # on a busy machine of others, too
    told = next(reason for reason in reasons if "another outlet" in reason)
    return told.split(": ", 1)[1]


@case("load", "another EEG is on the net while the own one is away", "exit 1: no Fz, no Cz, ...")
def another_eeg(folder: Path) -> str:
    live = lost_and_back(
        folder,
        lambda me: Amp(f"{me}-2", names=("A", "B")),
        lambda me: {"predicate": f"starts-with(source_id,'{me}')"},
    )
    live.finish()
    return "went on looking, and took the own one"


@case("load", "markers with the id of the data while the data are away", "exit 1: of text")
def markers_of_the_same_id(folder: Path) -> str:
    lost_and_back(folder, lambda me: marks(me, name=f"{me}-words")).finish()
    return "went on looking, and took the data"


@case("load", "two outlets come back", "took the first that answered")
def two_come_back(folder: Path) -> str:
    live = lost_and_back(folder, lambda me: [Amp(me), Amp(me)])
    live.finish()
    why = [one["reason"] for one in live.told("not_back")]  # other reasons, too, once the two go
    several = [one for one in why if "need just" in one]
    assert several, why
    return several[-1].split(":")[0]


@case("load", "one source_id for data and markers", "exit 1 by chance: need numbers, got text")
def one_id_for_both(folder: Path) -> str:
    me = fresh()
    words, amp = marks(me, name=f"{me}-words"), Amp(me, name=f"{me}-amp")
    live = Live(folder, me, f"{me}-words")
    live.connected(amp.outlet, words)
    words.push_sample(["1"], amp.at(200))
    until(lambda: live.session.counts["markers_received"])
    amp.send(500)
    until(lambda: live.answers)
    live.finish()
    assert [(one.label, one.index) for one in live.answers] == [("word0", 200)]
    return "data as data, markers as markers: word0 at row 200"


@case("load", "one name for data and markers", "exit 1: got 2")
def one_name_for_both(folder: Path) -> str:
    me = fresh()
    words, amp = marks(f"{me}-w", name=me), Amp(me, name=me)
    live = Live(folder, me, me, selection={"name": me})
    live.connected(amp.outlet, words)
    words.push_sample(["3"], amp.at(200))
    until(lambda: live.session.counts["markers_received"])
    amp.send(500)
    until(lambda: live.answers)
    live.finish()
    assert [(one.label, one.index) for one in live.answers] == [("word2", 200)]
    return "data as data, markers as markers: word2 at row 200"


@case("load", "one source_id for two amplifiers", "decodes the first that answers")
def one_id_for_two(folder: Path) -> str:
    me = fresh()
    amps = Amp(me, name=f"{me}-a"), Amp(me, name=f"{me}-b")
    ran = rt_decoder(
        "run", "--force", "--model", model_file(folder), "--source-id", me, "--timeout", "5"
    )
    del amps
    assert ran.code == 1, ran
    assert all(part in ran.err for part in (f"{me}-a", f"{me}-b", "choose by name")), ran.err
    return "refused: got 2, with their names; choose by name"


@case("load", "samples and markers are both missing", "the markers alone were named")
def both_missing(folder: Path) -> str:
    me = fresh()
    ran = rt_decoder(
        "run", "--force", "--model", model_file(folder), "--name", f"{me}-a", "--markers", f"{me}-m",
        "--timeout", "0.3",
    )  # fmt: skip
    assert ran.code == 1, ran
    assert all(part in ran.err for part in (f"{me}-a", f"{me}-m")), ran.err
    return "refused: both are named"


@case("load", "a stream that is lost again and again", "7 descriptors and a thread more each time")
def lost_again_and_again(folder: Path) -> str:
    me = fresh()
    amp, n_had = Amp(me), []
    live = Live(folder, me)
    for number in range(4):
        live.connected(amp.outlet)
        amp.send(100)
        live.has(100 * (number + 1))
        amp.close()
        live.told("lost", number + 1)
        amp = Amp(me)
        live.told("returned", number + 1)
        n_had.append(live.session.footer()["n_descriptors"])
    live.finish()
    if n_had[0] is None:
        return "descriptors are not counted here"
    assert n_had[-1] <= n_had[0] + 3, n_had
    return f"descriptors after each loss: {', '.join(map(str, n_had))}"
