"""Coverage-guided fuzzing of what reads bytes of strangers: `python -m tests.fuzz TARGET --seconds N`."""
