"""Photographs: found, split, decoded once, handed over as one array. Nothing imports torch."""
