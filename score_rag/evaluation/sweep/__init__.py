"""Sweeps: a pipeline at many values of its settings, compared on validation events; a grid, a list, or a search."""
