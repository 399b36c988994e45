"""Measurements of speed and memory: ratios within one run, written to results/ with hardware."""
