"""bakeoff trains, compares and explains image classifiers."""

__version__ = "0.1.0"
