"""Real XDF files through the whole path, as `decode` takes them."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.design import draft_model
from rt_decoder.decoder import Decoder
from rt_decoder.files.read import read_recording
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import Recipe
from rt_decoder.recorded import features_of_recording
from tests.test_xdf import REAL

LOADABLE = [name for name, (_, expected) in REAL.items() if not isinstance(expected, str)]


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore:.*1 of 9 markers outside")  # minimal.xdf
@pytest.mark.parametrize("name", LOADABLE)
def test_real_xdf_file_runs_through_the_live_stages(data_dir, name):
    recording = read_recording(data_dir / "xdf" / name, **REAL[name][0])
    window = 0.1 if recording.info.sfreq > 50 else 2.0 / recording.info.sfreq
    recipe = Recipe.from_dict(
        {
            "stream": {"picks": list(recording.info.ch_names), "reference": "none"},
            "filter": {"l_freq": 0.1, "h_freq": recording.info.sfreq / 4, "notch": False},
            "features": {"tmax": window, "decim": 1},
        }
    )
    model = draft_model([recording], recipe)
    found = list(features_of_recording(model, recording, recording.markers))
    assert all(np.isfinite(features.values).all() for _, features in found)

    decoder = Decoder(model, recording.info, PipelineOptions(continuous=True))
    n_hops = sum(1 for _ in decoder.push_features(recording.data, recording.times))
    n_window = decoder.pipeline.window.last
    assert n_hops == len(recording.stamps) // model.n_hop - -(-n_window // model.n_hop) + 1
    if len(recording.markers) > 10:
        assert len(found) > 0.9 * len(recording.markers)
