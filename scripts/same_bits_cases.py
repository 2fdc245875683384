"""Cases of `same_bits`: the steps of each, and the files that they need."""

from __future__ import annotations

__all__ = ["CASES", "FILES"]

# For each case: options of every step, then the steps: program, file that it writes, arguments.
# @NAME is a file of the case, written by a step or by `prepare`; data/PATTERN are files in --data.
CASES = {
    "simulated": """
        simulate first.xdf --words 400 --seconds 720
        simulate second.xdf --words 400 --session 2 --seconds 120
        simulate fast.xdf --words 400 --session 3 --seconds 40 --sfreq 500
        fit words.safetensors @first.xdf --events @first.tsv
        evaluate scores --model @words.safetensors @second.xdf --events @second.tsv
        decode by-table.jsonl @second.xdf --model @words.safetensors --events @second.tsv
        decode by-markers.jsonl @second.xdf --model @words.safetensors
        decode continuous.jsonl @second.xdf --model @words.safetensors --continuous
        decode without.jsonl @second.xdf --model @words.safetensors --without eye,heartbeat
        decode decimated.jsonl @fast.xdf --model @words.safetensors
        clean clean.fif @second.xdf --model @words.safetensors
        clean without.fif @second.xdf --model @words.safetensors --without eye,heartbeat
        clean decimated.fif @fast.xdf --model @words.safetensors
        fit bands.safetensors @first.xdf --events @first.tsv --kind bandpower
        decode bands.jsonl @second.xdf --model @bands.safetensors --events @second.tsv""",
    "muse": """--units uV
        fit flicker.safetensors data/muse/SSVEP/*21.2[02].*.csv --recipe @flicker.toml
        decode flicker.jsonl data/muse/SSVEP/*21.25.*.csv --model @flicker.safetensors
        clean flicker.fif data/muse/SSVEP/*21.25.*.csv --model @flicker.safetensors
        decode damaged.jsonl @damaged.csv --model @flicker.safetensors
        clean damaged.fif @damaged.csv --model @flicker.safetensors
        convert damaged.fif @damaged.csv
        fit oddball.safetensors data/muse/P300/*15_45*.csv --recipe @oddball.toml
        decode oddball.jsonl data/muse/P300/*15_47*.csv --model @oddball.safetensors""",
    "eeglab": """--channels @names.tsv
        fit eog.safetensors data/eeglab_sample/*.set --events @events.tsv --recipe @attention.toml
        decode by-table.jsonl data/eeglab_sample/*.set --model @eog.safetensors --events @events.tsv
        decode by-annotations.jsonl data/eeglab_sample/*.set --model @eog.safetensors
        clean clean.fif data/eeglab_sample/*.set --model @eog.safetensors""",
    "eegmat": """--channels @ecg.tsv
        cleaning notch.safetensors data/eegmat/Subject05_1.edf
        cleaning adaptive.safetensors data/eegmat/Subject05_1.edf --recipe @adaptive.toml
        clean notch.fif data/eegmat/Subject05_2.edf --model @notch.safetensors
        clean adaptive.fif data/eegmat/Subject05_2.edf --model @adaptive.safetensors
        convert converted.fif data/eegmat/Subject05_2.edf
        convert converted.xdf data/eegmat/Subject05_2.edf""",
    "labrecorder": """--units uV
        fit hands.safetensors data/xdf/magicblink/three*.xdf --recipe @hands.toml
        decode hands.jsonl data/xdf/magicblink/three*.xdf --model @hands.safetensors
        clean hands.fif data/xdf/magicblink/three*.xdf --model @hands.safetensors
        convert hands.xdf data/xdf/magicblink/three*.xdf""",
    "meg": """
        cleaning ssp.safetensors data/mne_lsl_samples/*audvis*.fif
        cleaning sss.safetensors data/mne_lsl_samples/*audvis*.fif --projections ssp,sss
        clean ssp.fif data/mne_lsl_samples/*audvis*.fif --model @ssp.safetensors
        clean sss.fif data/mne_lsl_samples/*audvis*.fif --model @sss.safetensors""",
}
FILES = {
    "flicker.toml": """
        stream = {reference = "none", line_freq = 60.0}
        filter = {l_freq = 5.0, h_freq = 50.0}
        features = {kind = "bandpower", bands = [[19, 21], [29, 31]], tmin = 0.3, tmax = 2.0}
        target.names = {1 = "flicker at thirty hertz", 2 = "flicker at twenty hertz"}
        fit = {final_block = 0.0, rank = 0}
        readout.min_quality = 0.0""",
    "oddball.toml": """
        stream = {reference = ["TP9"], line_freq = 60.0, picks = ["TP9", "AF7", "AF8", "TP10"]}
        filter = {l_freq = 1.0, h_freq = 30.0}
        target.names = {1 = "any other picture", 2 = "the target picture"}
        readout = {prior = "training", precision = 0.5}""",
    "attention.toml": """
        stream.line_freq = 60.0
        features = {tmin = 0.1, tmax = 0.7, baseline = [-0.1, 0.0]}
        target = {label = "word", names = {square = "square", rt = "button"}}
        fit = {groups = "part", rank = 1}""",
    "hands.toml": """
        target.names = {0 = "rest", 1 = "left hand", 2 = "right hand", 3 = "both feet"}
        fit.final_block = 0.0""",
    "adaptive.toml": 'clean.line = "adaptive"',  # its name in the first version
    "ecg.tsv": "stream_name\ttype\nECG ECG\tecg\nEEG A2-A1\tmisc",
}
