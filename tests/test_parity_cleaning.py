"""Laws 2 and 3 with every cleaning stage on: no cut and no way of decoding changes a bit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.demo import save_recording
from rt_decoder.decoder import Decoder
from rt_decoder.files.model_file import save_model
from rt_decoder.files.recording import Recording
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recipe import STAGES
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import BAD, CORRECTED, Chunk, Readout, Reason
from rt_decoder.sinks.log import readout_line
from tests.cleaned import fitted, scene
from tests.small import lines, timeless
from tests.test_parity import BOTH, MARKERS, Case, Session, check, with_holes

SECONDS = 16.0
CORRECTIONS = [reason.name for reason in Reason if reason & CORRECTED]


def seen(recording: Recording, **kwargs: Any) -> tuple[list[Readout], dict[str, np.ndarray]]:
    """Readouts, and what every hop was when it was cleaned."""
    chunk = kwargs.pop("chunk", 64)
    model, _ = fitted()
    decoder = Decoder(model, recording.info, PipelineOptions(**kwargs))
    hops: list[Chunk] = []
    decoder.pipeline.tap(
        lambda hop: hops.append(
            hop._replace(**{name: np.array(getattr(hop, name)) for name in ARRAYS})
        )
    )
    markers = recording.markers
    answers = list(decode_recording(model, recording, markers, chunk=chunk, decoder=decoder))
    cleaned = {name: np.concatenate([getattr(hop, name) for hop in hops]) for name in ARRAYS}
    return answers, cleaned | {"index": np.array([hop.index for hop in hops])}


ARRAYS = ("data", "times", "flags", "channel_flags")


def plain() -> Recording:
    return scene(session=2, seconds=SECONDS, cued=False)


def fast() -> Recording:
    return scene(session=2, seconds=SECONDS, sfreq=500.0, cued=False)


def broken(missing: float = np.nan) -> Recording:
    """NaN (which no file holds) in channels and references, a rail, a flat channel, a jump."""
    recording = plain()
    data = recording.data.copy()
    names = recording.info.ch_names
    data[1000:1003, 2] = missing
    data[1200:1900, 4] = 0.3
    data[3200:3204] = missing  # not at once: the scale of the first 10 s is compared
    data[2000:2300, names.index("ECG")] = missing
    data[2500:2510, names.index("RESP")] = -0.9
    data[2600:, 7] += 4e-4
    data[700:900, 1] = data[700, 1]
    return replace(recording, data=data)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (plain, {}),
    "continuous": (plain, {"continuous": True}),
    "broken": (broken, {}),
    "gaps": (lambda: with_holes(plain()), {}),
    "twice the rate": (fast, {}),
    "gaps, twice the rate": (lambda: with_holes(fast()), {}),
    "without eye": (broken, {"without": ("eye",)}),
    "without all": (broken, {"without": STAGES}),
}


SLOW = ("continuous", "gaps, twice the rate", "without eye", "without all")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES]
)
def test_no_cut_changes_a_bit(name: str) -> None:
    make, options = CASES[name]
    recording = make()
    answers, cleaned = seen(recording, **options)
    assert len(answers) >= 15
    assert np.isfinite(cleaned["data"]).all()
    for chunk in (1, 7, 5000):
        again, hops = seen(recording, chunk=chunk, **options)
        for what, array in hops.items():
            np.testing.assert_array_equal(array, cleaned[what], err_msg=f"{what}, {chunk}")
        assert timeless(again) == timeless(answers), chunk


def test_every_stage_had_something_to_do() -> None:
    """What the cuts above are tried on is corrected, flagged and good."""
    _, cleaned = seen(broken())
    for reason in (*CORRECTED, Reason.MUSCLE, Reason.BAD_CHANNEL):
        assert np.any(cleaned["flags"] & reason), reason
    assert np.mean(cleaned["flags"] & BAD == 0) > 0.4


def test_readouts_tell_what_was_corrected_and_flagged() -> None:
    answers, cleaned = seen(plain())
    window = Pipeline(fitted()[0]).window.last
    for answer in answers:
        flags = cleaned["flags"][answer.index : answer.index + window]
        shares = [np.mean(flags & Reason[name] != 0) for name in CORRECTIONS]
        np.testing.assert_allclose(answer.corrected, shares, atol=1e-12)
        good = np.mean(flags & BAD == 0)
        assert answer.quality == pytest.approx(good)
        assert ("muscle" in answer.reasons) == bool(np.any(flags & Reason.MUSCLE))
        assert not {name.lower() for name in CORRECTIONS} & set(answer.reasons)
    shares = np.array([answer.corrected for answer in answers])
    eye = CORRECTIONS.index("EYE")
    assert 0.05 < shares[:, eye].mean() < 0.95
    told = readout_line(answers[int(shares[:, eye].argmax())])
    assert told["corrected"]["eye"] == pytest.approx(shares[:, eye].max(), abs=1e-3)


def test_what_is_left_out_corrects_nothing() -> None:
    answers, cleaned = seen(plain(), without=("eye", "regressors"))
    left_out = [CORRECTIONS.index(name) for name in ("EYE", "REGRESSED")]
    assert all(answer.corrected[k] == 0.0 for answer in answers for k in left_out)
    assert not np.any(cleaned["flags"] & (Reason.EYE | Reason.REGRESSED))
    assert timeless(answers) != timeless(seen(plain())[0])


LIVE = {
    "events": Case("plain.xdf", "clean", MARKERS, (), 15),
    "both kinds": Case("plain.xdf", "clean", BOTH, ("--continuous",), 1000),
    "broken": Case("broken.xdf", "clean", BOTH, ("--continuous",), 1000, "2"),
    "twice the rate": Case("fast.xdf", "clean", BOTH, ("--continuous",), 1000, "2"),
    "without eye": Case(
        "plain.xdf", "clean", (*MARKERS, "--without", "eye"), ("--without", "eye"), 15
    ),
    "without all": Case(
        "plain.xdf", "clean", (*MARKERS, "--without", "all"), ("--without", "all"), 15
    ),
    "lost samples": Case("holes.xdf", "clean", BOTH, ("--continuous",), 1000, "1"),
}


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """The cases, two at a time: each waits for its stream most of the time."""
    folder = tmp_path_factory.mktemp("parity")
    save_model(fitted()[0], folder / "clean.rtd.safetensors")
    recordings = {"plain": plain(), "broken": broken(1.5), "fast": fast()}
    recordings["holes"] = with_holes(plain())
    for name, recording in recordings.items():
        save_recording(recording, folder / f"{name}.xdf")
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(lambda case=case: check_live(case, folder))
            for name, case in LIVE.items()
        }


def check_live(case: Case, folder: Path) -> None:
    session = Session(case, folder)
    check(session)
    told = [line["corrected"] for line in lines(session.log) if line["type"] == "readout"]
    without = case.live[-1] if "--without" in case.live else ""
    assert any(line.get("eye", 0.0) > 0.1 for line in told) == (without not in ("eye", "all"))
    assert any(line.get("regressed", 0.0) > 0.1 for line in told) == (without != "all")


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.parametrize("name", LIVE)
def test_every_way_gives_the_same_readouts(checks: dict[str, Future[None]], name: str) -> None:
    """`replay` into `run`, `decode` with three cuts, `decode` of the session record."""
    checks[name].result()
