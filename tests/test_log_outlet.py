"""The log outlet: events as they come, and what they have left standing for those who come later."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pylsl
import pytest

from rt_decoder.decoder import Decoder
from rt_decoder.live.status import bad_channels
from rt_decoder.sinks.advice import EVENTS
from rt_decoder.sinks.header import model_facts
from rt_decoder.sinks.log_outlet import CHANNEL_EVENTS, LOG_TYPE, LogOutlet
from rt_decoder.sinks.outlets import data_outlet, marker_outlet
from rt_decoder.sources.lsl.find import resolve
from tests.lsl_loopback import wait_for
from tests.small import call, random_model, small_recipe, small_recording


def test_a_stream_without_a_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="need a name for the stream"):
        data_outlet("", small_recording(seconds=4.0).info, "id")
    with pytest.raises(ValueError, match="need a name for the stream"):
        marker_outlet("", "id")
    ran = call(capsys, "simulate", "--seconds", "5", "--name", "")
    assert (ran.code, ran.err.count("error: need a name for the stream")) == (1, 1)


@pytest.mark.lsl
def test_a_status_holds_what_events_have_left(source_id: str) -> None:
    outlet = LogOutlet("d", source_id, {"session": "s", "facts": "<&>"})
    inlet = pylsl.StreamInlet(resolve(source_id=f"{source_id}-log"))
    assert inlet.info().type() == LOG_TYPE
    assert inlet.info().desc().child("decoder").child_value("facts") == "<&>"
    inlet.open_stream()
    lines: list[dict[str, Any]] = []

    def told(state: str) -> dict[str, Any] | None:
        texts, _ = inlet.pull_chunk(timeout=0.0)
        lines.extend(json.loads(one[0]) for one in texts)
        return next((one for one in lines if one.get("state") == state), None)

    status: dict[str, Any] = {"state": "live"}
    outlet.tell({"type": "event", "event": "channel_replaced", "channel": "E1"})
    outlet.tell({"type": "event", "event": "channel_disagrees", "channel": "E2"})
    outlet.tell({"type": "event", "event": "unlike_calibration", "what": "x", "explanation": "e"})
    outlet.tell({"type": "event", "event": "paused"})
    outlet.watch(lambda: status)
    found = wait_for(lambda: told("live"))
    assert found["type"] == "status"
    assert found["channels"] == {"E1": "channel_replaced", "E2": "channel_disagrees"}
    assert found["unlike"] == {"what": "x", "explanation": "e"}
    assert found["paused"] is True
    for event in ("channel_returned", "fits_calibration", "resumed"):
        outlet.tell({"type": "event", "event": event, "channel": "E1"})
    status["state"] = "stale"
    found = wait_for(lambda: told("stale"))
    assert found["channels"] == {"E2": "channel_disagrees"}
    assert (found["unlike"], found["paused"]) == (None, False)
    outlet.close()
    wait_for(lambda: told("ended"))  # this outlet still holds its stream


def test_every_channel_event_is_one() -> None:
    assert set(CHANNEL_EVENTS) <= set(EVENTS)


def test_bad_channels_are_named_with_their_reasons() -> None:
    recording = small_recording(seconds=4.0)
    decoder = Decoder(random_model(recording, small_recipe()), recording.info)
    stamps = np.arange(len(recording.data)) / recording.info.sfreq
    data = recording.data.copy()
    decoder.push(data[:500], stamps[:500], 0.0)
    assert bad_channels(decoder) == {}
    data[500:, 2] = np.nan
    decoder.push(data[500:600], stamps[500:600], 0.0)
    assert "nonfinite" in bad_channels(decoder)[recording.info.ch_names[2]]


def test_facts_of_a_model_are_plain_and_finite() -> None:
    model = random_model(small_recording(seconds=4.0), small_recipe())
    facts = json.loads(json.dumps(model_facts(model), allow_nan=False))
    assert facts["n_items"] == 12
    assert facts["certificate"] == {}
