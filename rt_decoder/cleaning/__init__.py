"""Stages that take out what is not brain; `stages` lists them in flow order.

Each is fitted by the module of its name in `calibration.cleaning`.
"""
