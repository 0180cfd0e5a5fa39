"""`python -m score_rag.cli`."""

from score_rag.cli import main

main()
