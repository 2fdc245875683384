"""The simulated participant: components add up and have the right sizes and topographies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch

from rt_decoder.simulation.disturbance import ARTIFACTS, CLEANING, Scene
from rt_decoder.simulation.head import HEAD_RADIUS, MONTAGE, Cap, electrodes
from rt_decoder.simulation.helmet import Helmet, field
from rt_decoder.simulation.participant import Participant

ITEMS = tuple(f"word{i}" for i in range(40))
VECTORS = np.random.default_rng(7).standard_normal((40, 12)) + 3.0
BRAIN = ("evoked", "background", "alpha")
UV = 1e-6


def participant(**options):
    return Participant(VECTORS, ITEMS, **options)


@pytest.fixture(scope="module")
def recording():
    person = participant(n_channels=64, references=True)
    return person.simulate(duration=240.0, seed=1)


def component(recording, name):
    """One component at the 64 electrodes, and at VEOG, HEOG, ECG, RESP."""
    part = recording.components[name]
    return part[:, :64], part[:, 64:]


def column(name):
    return MONTAGE.index(name)


def test_electrodes_agree_with_a_published_cap():
    mne = pytest.importorskip("mne")
    names, positions = electrodes(64)
    assert len(set(names)) == 64
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), HEAD_RADIUS)
    published = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    assert set(published) == set(names)
    theirs = np.array([published[name] / np.linalg.norm(published[name]) for name in names])
    cosine = np.sum(theirs * positions / HEAD_RADIUS, axis=1)
    assert np.rad2deg(np.arccos(cosine.min())) < 4.0


@pytest.mark.parametrize("n", [1, 8, 32, 64, 65, 306])
def test_caps_of_any_size(n):
    person = participant(n_channels=n)
    info = person.simulate(n_words=1, components=False).info
    assert info.n_channels == n
    assert set(info.ch_types) == {"eeg"}
    assert set(info.units) == {"V"}
    np.testing.assert_allclose(np.linalg.norm(info.positions, axis=1), HEAD_RADIUS)


def test_references_are_declared(recording):
    assert recording.info.ch_names[64:] == ("VEOG", "HEOG", "ECG", "RESP")
    assert recording.info.ch_types[64:] == ("eog", "eog", "ecg", "resp")
    assert np.isnan(recording.info.positions[64:]).all()


def test_components_sum_to_the_data(recording):
    assert tuple(recording.components) == BRAIN + ARTIFACTS
    np.testing.assert_array_equal(sum(recording.components.values()), recording.data)
    assert np.isfinite(recording.data).all()


def test_one_seed_is_one_recording():
    person = participant()
    first = person.simulate(n_words=5, seed=1)
    again = participant().simulate(n_words=5, seed=1, components=False)
    np.testing.assert_array_equal(first.data, again.data)
    assert first.events == again.events
    assert again.components == {}
    other_session = person.simulate(n_words=5, seed=2)
    assert other_session.events != first.events
    vector = VECTORS[0]
    np.testing.assert_array_equal(person.evoked(vector), participant().evoked(vector))
    assert np.abs(participant(seed=1).evoked(vector) - person.evoked(vector)).max() > UV


def test_one_person_under_caps_of_different_size():
    small, large = participant(n_channels=8), participant(n_channels=32, references=True)
    np.testing.assert_allclose(
        small.evoked(VECTORS[3]), large.evoked(VECTORS[3])[:, :8], rtol=0, atol=1e-15
    )


def test_artifacts_do_not_change_the_brain(recording):
    clean = participant(n_channels=64, references=True, artifacts=0)
    clean = clean.simulate(duration=240.0, seed=1)
    assert tuple(clean.components) == BRAIN
    assert clean.events == recording.events
    for name in BRAIN:
        np.testing.assert_array_equal(clean.components[name], recording.components[name])
    np.testing.assert_array_equal(clean.data, sum(clean.components.values()))


def test_severity_scales_and_picks_artifacts():
    usual = participant().simulate(n_words=20)
    strong = participant(artifacts=3.0).simulate(n_words=20)
    blinks = participant(artifacts={"blink": 3.0}).simulate(n_words=20)
    assert tuple(blinks.components) == (*BRAIN, "blink")
    np.testing.assert_array_equal(blinks.components["blink"], strong.components["blink"])
    for name in ARTIFACTS:
        np.testing.assert_allclose(strong.components[name], 3.0 * usual.components[name])


def test_evoked_response_is_linear_in_the_vector():
    person = participant()
    mean = person.evoked(VECTORS.mean(0))  # what every word gets
    a, b = (person.evoked(VECTORS[i]) - mean for i in (0, 1))
    mixed = person.evoked(
        VECTORS.mean(0)
        + 2.0 * (VECTORS[0] - VECTORS.mean(0))
        - 0.5 * (VECTORS[1] - VECTORS.mean(0))
    )
    np.testing.assert_allclose(mixed - mean, 2.0 * a - 0.5 * b, rtol=0, atol=1e-15)
    # nothing at the onset, most of it between 50 and 650 ms
    power = (a**2).sum(1)
    assert power[0] < 1e-3 * power.max()
    assert power[12:162].sum() > 0.9 * power.sum()


def test_evoked_component_is_the_sum_of_the_responses():
    person = participant()
    recording = person.simulate(n_words=6, seed=4)
    expected = np.zeros_like(recording.data)
    for event in recording.events:
        response = person.evoked(VECTORS[ITEMS.index(event.label)])
        expected[event.index : event.index + len(response)] += response
    np.testing.assert_allclose(recording.components["evoked"], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("snr", [0.0, 0.5])
def test_snr_of_the_response_is_the_one_requested(snr):
    person = participant(n_channels=64, snr=snr)
    responses = np.stack([person.evoked(vector) for vector in VECTORS])
    specific = responses - responses.mean(0)  # over the vocabulary: what all items share
    assert np.sqrt(np.mean(specific**2)) == pytest.approx(snr * 8 * UV)


def band_rms(x, low, high):
    freqs, power = welch(x, 250.0, nperseg=2500, axis=0)
    keep = (freqs >= low) & (freqs <= high)
    return np.sqrt(power[keep].sum(0) * freqs[1])


def test_background(recording):
    eeg, _ = component(recording, "background")
    rms = band_rms(eeg, 0.5, 20.0)
    assert np.sqrt(np.mean(rms**2)) == pytest.approx(8 * UV, rel=0.15)
    # power falls as 1/f: two bands an octave wide hold the same
    assert np.mean(band_rms(eeg, 2.0, 4.0) ** 2) == pytest.approx(
        np.mean(band_rms(eeg, 4.0, 8.0) ** 2), rel=0.25
    )
    neighbours = np.corrcoef(eeg[:, column("C3")], eeg[:, column("C1")])[0, 1]
    assert neighbours > 0.7 > np.corrcoef(eeg[:, column("F7")], eeg[:, column("P8")])[0, 1]


def test_alpha_is_at_the_back_at_its_frequency(recording):
    eeg, _ = component(recording, "alpha")
    rms = eeg.std(0)
    assert MONTAGE[rms.argmax()] in ("O1", "O2", "Oz")
    assert rms.max() == pytest.approx(8 * UV, rel=0.25)
    assert rms[column("Fz")] < 0.2 * rms.max()
    freqs, power = welch(eeg[:, column("O1")], 250.0, nperseg=1000)
    assert 8.5 <= freqs[power.argmax()] <= 11.5
    envelope = np.abs(eeg[:, column("O1")]).reshape(-1, 250).max(1)  # of each second
    assert envelope.max() > 3.0 * envelope.min()


def test_blinks_are_frontal(recording):
    eeg, references = component(recording, "blink")
    peak = np.abs(eeg).max(0)
    assert MONTAGE[peak.argmax()] in ("Fp1", "Fp2", "Fpz")
    assert 130 * UV < peak.max() < 260 * UV
    assert peak[[column(name) for name in ("Cz", "Pz", "Oz")]].max() < 0.2 * peak.max()
    front = eeg[:, column("Fp1")]
    crossings = np.count_nonzero((front[1:] > 60 * UV) & (front[:-1] <= 60 * UV))
    assert 8 <= crossings / 4.0 <= 22  # a minute
    assert 200 * UV < np.abs(references[:, 0]).max() < 600 * UV
    assert np.abs(references[:, 1:]).max() < UV


def test_gaze_steps_are_lateral(recording):
    eeg, references = component(recording, "saccade")
    left, right = eeg[:, column("F7")], eeg[:, column("F8")]
    np.testing.assert_allclose(left, -right, rtol=0, atol=1e-12)
    strongest = np.abs(eeg).max(0).argmax()
    assert MONTAGE[strongest] in ("F7", "F8", "AF7", "AF8")
    course = eeg[:, strongest]
    apart = 15  # samples: longer than a movement, shorter than the shortest fixation
    held = np.abs(np.diff(course, prepend=course[0])) < 1e-12
    sizes = np.abs(course[2 * apart :] - course[: -2 * apart])
    sizes = sizes[held[2 * apart :] & held[: -2 * apart] & (sizes > UV)] / UV
    assert sizes.min() > 39.9
    assert np.quantile(sizes, 0.95) < 60.1
    assert np.abs(course).max() < 100 * UV  # the gaze stays on the page
    assert np.corrcoef(references[:, 1], right)[0, 1] > 0.99


def test_heart_and_breath(recording):
    eeg, references = component(recording, "heart")
    ecg = references[:, 2]
    beats = np.flatnonzero((ecg[1:-1] > 0.8e-3) & (ecg[1:-1] >= ecg[:-2]) & (ecg[1:-1] > ecg[2:]))
    assert 60 < len(beats) / 4.0 < 85
    assert np.diff(beats).std() > 2  # samples: no metronome
    assert 8 * UV < np.abs(eeg).max() < 25 * UV
    eeg, references = component(recording, "breath")
    freqs, power = welch(references[:, 3], 250.0, nperseg=15000)
    assert 0.18 < freqs[power.argmax()] < 0.32
    assert 12 * UV < np.abs(eeg).max() < 22 * UV


def test_muscle_is_temporal_fast_and_rare(recording):
    eeg, _ = component(recording, "muscle")
    rms = eeg.std(0)
    assert MONTAGE[rms.argmax()] in ("T7", "T8", "FT7", "FT8", "F7", "F8")
    course = eeg[:, rms.argmax()]
    active = course != 0
    assert 0.005 < active.mean() < 0.3
    assert 15 * UV < course[active].std() < 35 * UV
    assert band_rms(course, 0.5, 10.0) < 0.2 * band_rms(course, 20.0, 125.0)


@pytest.mark.parametrize("line_freq", [50.0, 60.0])
def test_mains(line_freq):
    recording = participant(line_freq=line_freq).simulate(duration=20.0)
    part = recording.components["mains"]
    freqs, power = welch(part, 250.0, nperseg=1000, axis=0)
    np.testing.assert_allclose(freqs[power.argmax(0)], line_freq, atol=0.3)
    assert np.sqrt(2 * np.mean(part**2)) == pytest.approx(5 * UV, rel=0.3)


def test_eye_channels_hold_some_brain(recording):
    _, references = component(recording, "background")
    assert (references[:, :2].std(0) > UV).all()
    assert (references[:, 2:].std(0) < UV).all()


@settings(max_examples=15, deadline=None)
@given(
    n_words=st.integers(1, 12),
    low=st.floats(0.05, 1.0),
    extra=st.floats(0.0, 0.5),
    lead_in=st.floats(0.0, 3.0),
    sfreq=st.sampled_from([100.0, 250.0, 512.0]),
)
def test_events_are_in_order_and_inside(n_words, low, extra, lead_in, sfreq):
    person = participant(n_channels=2, sfreq=sfreq, artifacts=0)
    soa = (low, low + extra)
    recording = person.simulate(n_words, soa=soa, lead_in=lead_in, components=False)
    index = np.array([event.index for event in recording.events])
    assert len(index) == n_words
    assert index[0] == round(lead_in * sfreq)
    assert index[-1] + sfreq <= len(recording.data) < index[-1] + sfreq + 2
    gaps = np.diff(index) / sfreq
    assert ((gaps > low - 1.1 / sfreq) & (gaps < soa[1] + 1.1 / sfreq)).all()
    assert all(event.time == event.index / sfreq for event in recording.events)
    assert {event.label for event in recording.events} <= set(ITEMS)
    same = person.simulate(duration=len(recording.data) / sfreq, soa=soa, lead_in=lead_in)
    assert len(same.data) == len(recording.data)
    assert same.events[-1].index + sfreq <= len(same.data)


def test_words_follow_the_prior():
    prior = np.zeros(len(ITEMS))
    prior[[3, 9]] = 0.9, 0.1
    person = participant(n_channels=1, artifacts=0)
    recording = person.simulate(400, prior=prior, components=False)
    labels = [event.label for event in recording.events]
    assert set(labels) == {"word3", "word9"}
    assert 0.84 < labels.count("word3") / 400 < 0.96


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_channels": 0}, "at least one channel"),
        ({"sfreq": 0.0}, "sampling rate"),
        ({"snr": -1.0}, "snr"),
        ({"artifacts": {"hiccup": 1.0}}, "'hiccup'"),
        ({"artifacts": -1.0}, "severities"),
    ],
)
def test_bad_participant(options, message):
    with pytest.raises(ValueError, match=message):
        participant(**options)


@pytest.mark.parametrize(
    ("vectors", "items", "message"),
    [
        (VECTORS[:3], ITEMS, "vectors of shape"),
        (VECTORS, ("a",) * 40, "unique items"),
        (np.ones((40, 3)), ITEMS, "different items"),
        (np.full((40, 3), np.nan), ITEMS, "finite"),
    ],
)
def test_bad_vocabulary(vectors, items, message):
    with pytest.raises(ValueError, match=message):
        Participant(vectors, items)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "n_words or duration"),
        ({"n_words": 3, "duration": 3.0}, "n_words or duration"),
        ({"n_words": 0}, "at least one word"),
        ({"duration": 2.5}, "at least one word"),
        ({"n_words": 3, "soa": (0.8, 0.6)}, "soa"),
        ({"n_words": 3, "lead_in": -1.0}, "lead_in"),
    ],
)
def test_bad_session(options, message):
    with pytest.raises(ValueError, match=message):
        participant().simulate(**options)


def scene(options, **more):
    return participant(n_channels=64, references=True, scene=Scene(**options), **more)


@pytest.mark.slow
def test_propagation_drifts_as_far_as_it_should():
    still, drifting = (
        scene({"drift": size}).simulate(duration=360.0, seed=1).components for size in (0.0, 0.15)
    )
    for name in ("saccade", "breath", "blink"):
        usual, changed = (part[name][:, :64] for part in (still, drifting))
        active = np.linalg.norm(usual, axis=1) > 0.2 * np.linalg.norm(usual, axis=1).max()
        usual, changed = usual[active], changed[active]
        change = np.linalg.norm(changed - usual, axis=1) / np.linalg.norm(usual, axis=1)
        assert 0.10 < np.sqrt(np.mean(change**2)) < 0.20, name
        gain = np.sum(changed * usual, 1) / np.sum(usual**2, 1)
        shape = np.linalg.norm(changed - gain[:, None] * usual, axis=1)
        shape = np.sqrt(np.mean((shape / np.linalg.norm(usual, axis=1)) ** 2))
        assert 0.06 < shape < 0.12, name  # .15 times .6
        np.testing.assert_array_equal(drifting[name][:, 64:], still[name][:, 64:])
    assert np.abs(drifting["heart"] - still["heart"]).max() > 0.5 * UV
    np.testing.assert_array_equal(drifting["muscle"], still["muscle"])


def test_a_lead_on_the_chest_is_no_multiple_of_the_field():
    for own_lead in (False, True):
        heart = scene({"own_lead": own_lead}).simulate(duration=60.0).components["heart"]
        ecg, eeg = heart[:, 66], heart[:, :64] - heart[:, :64].mean(0)
        fit = np.outer(ecg, ecg @ eeg / (ecg @ ecg))
        unexplained = np.mean((eeg - fit) ** 2) / np.mean(eeg**2)
        assert unexplained > (0.3 if own_lead else 0.05)  # the pulse is what remains without it
        assert ecg.max() == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize("leak", [0.0, 0.9])
def test_brain_leaks_into_eye_channels(leak):
    recording = scene({"leak": leak}).simulate(duration=30.0)
    part = recording.components["background"]
    ratio = part[:, 64:66].std(0) / np.sqrt(np.mean(part[:, :64] ** 2))
    np.testing.assert_allclose(ratio, leak, atol=0.01)


def test_references_lag():
    still, late = (scene({"lag": lag}).simulate(duration=30.0).data for lag in (0.0, 0.008))
    np.testing.assert_array_equal(still[:, :64], late[:, :64])
    np.testing.assert_allclose(late[2:, 64:], still[:-2, 64:], rtol=0, atol=1e-12)


def test_electrodes_pop():
    recording = scene({"pop_every": 10.0}).simulate(duration=120.0)
    pops = recording.components["pop"]
    assert not pops[:, 64:].any()
    jumps = np.abs(np.diff(pops, axis=0)) > 250 * UV
    assert 4 <= np.count_nonzero(jumps) <= 25
    assert (np.count_nonzero(jumps, axis=1) <= 1).all()
    np.testing.assert_array_equal(sum(recording.components.values()), recording.data)


def test_eyes_follow_cues():
    cues = [("rest", 10.0, 20.0), ("blink", 20.0, 30.0), ("saccade", 30.0, 40.0)]
    recording = scene({}).simulate(duration=60.0, cues=cues)
    told = [(m.label, m.time) for m in recording.events if m.label.startswith("cue/")]
    assert told == [("cue/rest", 10.0), ("cue/blink", 20.0), ("cue/saccade", 30.0)]
    blink, saccade = (recording.components[name][:, 36] for name in ("blink", "saccade"))
    gaze = recording.components["saccade"][:, column("F7")]
    rest, blinking, looking = (slice(250 * t, 250 * (t + 9)) for t in (11, 21, 31))
    assert not blink[rest].any()
    assert not gaze[rest].any()
    assert blink[blinking].max() > 100 * UV
    assert not gaze[blinking].any()
    assert not blink[looking].any()
    assert np.ptp(gaze[looking]) > 40 * UV
    assert np.abs(saccade).max() < UV  # midline
    with pytest.raises(ValueError, match="need cues"):
        scene({}).simulate(duration=60.0, cues=[("wink", 1.0, 2.0)])


def test_heads_differ():
    maps = []
    for head in (0, 1, 2):
        person = participant(n_channels=64, head=head)
        radius = np.linalg.norm(person.info.positions, axis=1) / HEAD_RADIUS
        assert (radius.std() > 0.005) == (head > 0)
        assert 0.9 < radius.min() <= radius.max() < 1.1
        blink = person.simulate(duration=30.0).components["blink"]
        maps.append(blink[np.abs(blink[:, 8]).argmax()])
        assert 130 * UV < np.abs(maps[-1]).max() < 260 * UV
    assert np.corrcoef(maps[0], maps[1])[0, 1] < 0.999


def test_brain_may_be_smaller():
    usual, small = (participant(brain=size).simulate(n_words=10) for size in (1.0, 0.5))
    for name in ("evoked", "alpha"):
        np.testing.assert_allclose(small.components[name], 0.5 * usual.components[name])
    np.testing.assert_array_equal(small.components["blink"], usual.components["blink"])


def test_helmet():
    person = participant(n_channels=306, kind="meg", references=True, scene=CLEANING, head=1)
    assert person.info.ch_types[:3] == ("grad", "grad", "mag")
    assert person.info.units[:3] == ("T/m", "T/m", "T")
    assert person.info.ch_types.count("grad") == 2 * person.info.ch_types.count("mag") == 204
    recording = person.simulate(duration=20.0)
    assert np.isfinite(recording.data).all()
    mag, grad = (np.array(person.info.ch_types) == kind for kind in ("mag", "grad"))
    background = recording.components["background"]
    assert 100e-15 < np.sqrt(np.mean(background[:, mag] ** 2)) < 1000e-15
    assert 1e-12 < np.sqrt(np.mean(background[:, grad] ** 2)) < 30e-12
    for name in (*BRAIN, *ARTIFACTS):
        part = recording.components[name]
        assert (part[:, mag].std(0) > 0).any(), name
    peak = np.abs(recording.components["blink"][:, mag]).max()
    assert 4e-12 < peak < 12e-12
    assert np.abs(recording.components["blink"][:, -4]).max() > 100 * UV  # VEOG in volts
    with pytest.raises(ValueError, match="threes"):
        participant(n_channels=10, kind="meg")
    with pytest.raises(ValueError, match="'eeg' or 'meg'"):
        participant(kind="ecog")


def test_field_of_dipoles():
    rng = np.random.default_rng(0)
    sites = rng.standard_normal((20, 3))
    sites *= 0.12 / np.linalg.norm(sites, axis=1, keepdims=True)
    dipole, moment = np.array([[0.02, -0.03, 0.05]]), rng.standard_normal((1, 3))
    # currents in the sphere add nothing to the field's radial part
    radial = np.sum(field(sites, dipole, moment)[0] * sites, 1)
    away = sites - dipole
    free = np.cross(moment, away) / np.linalg.norm(away, axis=1, keepdims=True) ** 3
    np.testing.assert_allclose(radial, np.sum(free * sites, 1), rtol=1e-9)
    # a radial dipole is silent
    assert np.abs(field(sites, dipole, dipole)).max() < 1e-12 * np.abs(free).max()
    # and there is no source outside: the divergence is zero
    step = 1e-5
    divergence = sum(
        (field(sites + step * e, dipole, moment) - field(sites - step * e, dipole, moment))[0, :, k]
        for k, e in enumerate(np.eye(3))
    ) / (2 * step)
    assert np.abs(divergence).max() < 1e-5 * np.abs(free).max() / 0.1


def test_a_full_cap_is_the_same_head():
    for kind in (Cap, Helmet):
        cap = kind(30, references=True, head=2)
        assert cap.full().head == 2
        assert not cap.full().references
        assert cap.n_data == 30
        assert len(cap.scale) == len(cap.ch_names) == 34


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drift": 1.0}, "drift"),
        ({"blink_every": 1.0}, "blink_every"),
        ({"pop_every": 1.0}, "pop_every"),
        ({"leak": -0.1}, "leak"),
        ({"lag": -0.1}, "lag"),
        ({"eye_depth": 1.0}, "eye_depth"),
    ],
)
def test_bad_scene(options, message):
    with pytest.raises(ValueError, match=message):
        Scene(**options)


def test_people_with_the_same_responses_share_what_items_evoke() -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 6))
    words = ["axe", "bee", "cup", "dog"]
    one, two, other = (
        Participant(vectors, words, n_channels=8, artifacts=0.0, seed=seed, responses=shared)
        for seed, shared in ((1, 7), (2, 7), (1, 8))
    )
    np.testing.assert_array_equal(one.evoked(vectors[0]), two.evoked(vectors[0]))
    assert not np.allclose(one.evoked(vectors[0]), other.evoked(vectors[0]))
    first, second = (person.simulate(n_words=4, seed=1).components for person in (one, two))
    assert not np.allclose(first["background"][:100], second["background"][:100])
