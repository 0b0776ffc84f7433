"""Random Beacon questions over HTTP against a naive scan; `python -m validation.beacon` writes RESULTS.md."""
