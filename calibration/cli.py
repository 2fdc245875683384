"""``rt-calibrate``: fit a model on recordings, test one, pool people, embed words."""

from __future__ import annotations

from calibration.commands import embed, encode, evaluate, fit, pool, realign, refit
from rt_decoder.commands.console import add_commands, app_of, run_app

__all__ = ["app", "main"]

app = app_of(
    "rt-calibrate",
    "Fit and test the map from brain signals to words, on recordings with known items.",
)
for _module in (fit, evaluate, encode, refit, realign, pool, embed):
    add_commands(app, *_module.COMMANDS)


def main() -> None:
    """Run the program."""
    run_app(app)
