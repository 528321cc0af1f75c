"""Quantized layers: there are none."""
