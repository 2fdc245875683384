"""What was found, taken out and preserved by each cleaning stage, in a few words."""

from __future__ import annotations

from typing import Any

__all__ = ["stage_summary"]


def stage_summary(stage: str, found: dict[str, Any]) -> tuple[str, str, str]:
    """What was found, what is taken out and what is preserved, by a stage that was fitted."""
    return _BRIEF[stage](found)


def _db(value: float | None) -> str:
    return "too few to tell" if value is None else f"{value:.1f} dB"


def _of_muscle(found: dict[str, Any]) -> tuple[str, str, str]:
    held_out = found.get("held_out", {})
    flagged = [
        f"{name} {held_out[name]:.1%}" for name in ("muscle", "movement") if name in held_out
    ]
    band = found.get("band_hz")
    seen = f"{band[0]:g} to {band[1]:g} Hz" if band else str(found.get("silent", ""))
    return seen, f"flagged: {', '.join(flagged)}" if flagged else "", "everything"


def _of_mains(found: dict[str, Any]) -> tuple[str, str, str]:
    freqs = [f"{found['line_freq'] * (k + 1):g} Hz" for k in range(found["harmonics"])]
    if "attenuation_db" not in found:
        return ", ".join(freqs), _db(None), ""
    taken = ", ".join(
        f"{freq} {'not there' if db is None else f'{db:.1f} dB, at least'}"
        for freq, db in zip(freqs, found["attenuation_db"], strict=True)
    )
    kept = ", ".join(f"{share:.1%}" for share in found["preserved"])
    return ", ".join(freqs), taken, f"{kept} of the power 1 to 3 Hz away"


def _of_projector(found: dict[str, Any]) -> tuple[str, str, str]:
    what = ", ".join([*found["ssp"], *(["signal-space separation"] if found["sss"] else [])])
    return what, "", f"rank {found['rank']}"


def _of_repair(found: dict[str, Any]) -> tuple[str, str, str]:
    explained = sorted(channel["explained"] for channel in found["channels"].values())
    bad = ", ".join(f"{name} ({why})" for name, why in found["bad"].items())
    middle = f"{explained[len(explained) // 2]:.0%}" if explained else "n/a"
    what = f"{len(explained)} channels; bad: {bad or 'none'}"
    return what, f"{middle} of a channel's variance predicted (median)", "trusted channels, all"


def _of_eye(found: dict[str, Any]) -> tuple[str, str, str]:
    held_out = found["held_out"][found["rank"] - 1]
    what = (
        f"rank {found['rank']} ({found['rule']}); {found['n_blinks']} blinks and "
        f"{found['n_saccades']} saccades by {found['way']}"
    )
    taken = f"blinks {_db(held_out['blink_db'])}, eye activity {_db(held_out['eye_db'])}"
    return what, taken, f"changed at rest: {held_out['rest_distortion']:.1%} of the amplitude"


def _of_regressors(found: dict[str, Any]) -> tuple[str, str, str]:
    kept = {name: one for name, one in found["references"].items() if one["kept"]}
    lags = [
        f"{name} at {one['lag_ms']:.0f} ms" if one.get("lag_ms") is not None else name
        for name, one in kept.items()
    ]
    useless = sorted(set(found["references"]) - set(kept))
    what = ", ".join(lags) + (f"; {', '.join(useless)} explain nothing" if useless else "")
    taken = ", ".join(f"{name} {_db(one.get('attenuation_db'))}" for name, one in kept.items())
    return what, taken, f"{found['injected_gain']:.1%} of an injected response"


def _of_heartbeat(found: dict[str, Any]) -> tuple[str, str, str]:
    what = f"{found['beats']} beats by {found['source']}, {found['rate']:g} a minute"
    preserved = found.get("preserved")
    kept = "too few beats to tell" if preserved is None else f"{preserved:.1%} of a response"
    return what, _db(found.get("attenuation_db")), kept


_BRIEF = {
    "muscle": _of_muscle,
    "mains": _of_mains,
    "projector": _of_projector,
    "repair": _of_repair,
    "eye": _of_eye,
    "regressors": _of_regressors,
    "heartbeat": _of_heartbeat,
}
