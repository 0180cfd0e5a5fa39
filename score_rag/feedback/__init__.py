"""Judgements that came in after training: an append-only log, and the data with what it holds."""
