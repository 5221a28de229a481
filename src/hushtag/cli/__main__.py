"""`python -m hushtag.cli`: the command `hushtag`."""

from hushtag.cli import main

main()
