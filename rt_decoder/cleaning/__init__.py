"""Stages that remove artifacts; `stages` lists them in flow order.

The module of the same name in `calibration.cleaning` fits each stage.
"""
