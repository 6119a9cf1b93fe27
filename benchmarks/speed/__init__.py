"""Generation, training and rounds, each beside the plain way: `python -m benchmarks.speed`, `make bench`."""
