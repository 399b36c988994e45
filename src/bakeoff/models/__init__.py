"""Nets under one contract: a chain of named parts, a first convolution, a head, mean and std."""
