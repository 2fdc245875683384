"""Stages that take out what is not brain, in flow order.

repair, eye, regressors, heartbeat, muscle; each is fitted by the module of `calibration` that its
docstring names.
"""
