"""Coverage-guided fuzzing of every parser with atheris; `python -m validation.fuzz` writes RESULTS.md."""
