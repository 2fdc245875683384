"""``rt-decoder demo`` and ``simulate``: a participant whose words are known.

The only commands here that need the extra ``calibration``.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.interrupt import stop_on_signals
from rt_decoder.commands.options import AsJson, Network, SentName
from rt_decoder.commands.outputs import TSV, XDF, Overwrite, claim_outputs
from rt_decoder.commands.progress import busy
from rt_decoder.commands.streams import keep_here, stream_recording
from rt_decoder.counted import counted
from rt_decoder.files.packages import need_packages

__all__ = ["COMMANDS"]

Responses = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Random seed of what words evoke: people with the same one share it, as pool and "
        "--prior-from need; default: people share nothing.",
        min=0,
        show_default=False,
    ),
]
Hear = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Respond to the words that this marker stream sends, when it sends them, instead of "
        "hearing words at random.",
        show_default=False,
    ),
]


def demo(
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Length of the live part.", min=5.0)
    ] = 60.0,
    words: Annotated[int, typer.Option(metavar="N", help="Size of the vocabulary.", min=20)] = 1000,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed of the participant.", min=0)
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate a participant, calibrate, stream over LSL, decode live and score.

    Example: rt-decoder demo --seconds 30
    """
    from rt_decoder.sinks.loopback import can_keep_local, configure_loopback

    configure_loopback()  # before liblsl is loaded
    if not can_keep_local():
        warnings.warn(
            "this system cannot keep streams from other machines: while the demonstration runs, "
            "they can read its simulated signal",
            RuntimeWarning,
            stacklevel=2,
        )
    need_packages("wordfreq", "torch", "sklearn", what="for the demonstration")
    run_demo = _calibration("demo").run_demo
    result = run_demo(seconds=seconds, n_vocabulary=words, seed=seed, say=show_lines)
    if as_json:
        show_json(result)


def simulate(
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Length of the recording or stream, above 0.")
    ] = 120.0,
    name: SentName = "simulated",
    words: Annotated[int, typer.Option(metavar="N", help="Size of the vocabulary.", min=2)] = 200,
    channels: Annotated[int, typer.Option(metavar="N", help="Number of EEG channels.", min=4)] = 32,
    sfreq: Annotated[float, typer.Option(metavar="HZ", help="Sampling rate.", min=50.0)] = 250.0,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed of the participant.", min=0)
    ] = 0,
    session: Annotated[
        int, typer.Option(metavar="N", help="Random seed of the words heard and the noise.", min=0)
    ] = 1,
    responses: Responses = None,
    hear: Hear = "",
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="XDF", help="Write this file, and its events TSV, instead of streaming."
        ),
    ] = None,
    overwrite: Overwrite = False,
    network: Network = False,
) -> None:
    """Stream a simulated participant who hears words, with markers; or save a recording.

    Example: rt-decoder simulate --seconds 900 --save calibration.xdf
    """
    keep_here(network, offers=save is None)
    from rt_decoder.replay.plan import ReplayOptions

    need_packages("wordfreq", what="to simulate words")
    simulation = _calibration("demo")
    if seconds <= 0:
        raise typer.BadParameter(f"need --seconds above 0, got {seconds:g}")
    if save is not None:
        table = save.with_suffix(".tsv")
        claim_outputs([("--save", save, XDF), ("its events", table, TSV)], [], overwrite)
    person = {
        "seconds": seconds, "n_vocabulary": words, "n_channels": channels, "sfreq": sfreq,
        "seed": seed, "session": session, "responses": responses,
    }  # fmt: skip
    if hear:
        _send_hearing(name, hear, person, save)
    elif save is not None:
        with busy("simulating"):
            simulation.save_recording(
                simulation.simulate_recording(**person), save, overwrite=overwrite
            )
        show_lines(f"wrote {save.name} and {table.name}")
    else:
        with busy("simulating"):
            recording = simulation.simulate_recording(**person)
        stream_recording(recording, recording.markers, name, ReplayOptions(wait=0.0))


def _send_hearing(name: str, markers: str, person: dict[str, Any], save: Path | None) -> None:
    if save is not None:
        raise typer.BadParameter("need --hear or --save, got both")
    from rt_decoder.replay.hearing import send_hearing

    hearing = _calibration("commands.hearing")
    with busy("simulating"):
        recording, evoked = hearing.simulate_hearer(**person)
    with stop_on_signals() as should_stop, progress_bar("streaming") as progress:
        should_stop.only_ask()
        show_lines(f"streaming {name!r}, hearing {markers!r}, Ctrl-C ends")
        n = len(recording.data)
        heard = send_hearing(
            recording, evoked, name, markers, should_stop, lambda n_sent: progress(n_sent / n)
        )
    show_lines(
        f"heard {counted(heard.n_heard, 'word')}; left out {counted(heard.n_unknown, 'marker')} of no word"
    )


def _calibration(module: str) -> Any:
    """Module of `calibration`, or one sentence on what is missing."""
    try:
        return import_module(f"calibration.{module}")
    except ImportError as error:
        raise ImportError(
            f"need the calibration extra ({error.name or error}): pip install 'rt-decoder[calibration]'"
        ) from None


COMMANDS = (demo, simulate)
