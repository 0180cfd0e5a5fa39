"""Ablations: one system less one part, or with another in its place, on the same questions."""
