"""`python -m pipeline` is `star`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
