"""Pages over a run for people: who would like what, on what evidence, and what would change it. Works without a script."""
