"""`python cli.py ...` in a checkout is `score-rag ...`."""

from score_rag.cli import main

if __name__ == "__main__":
    main()
