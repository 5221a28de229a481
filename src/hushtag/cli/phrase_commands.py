"""Commands about phrases; they need no server, and print phrases only where that is what they are for."""

import click

from hushtag.cli.here import Here
from hushtag.cli.options import command_options

__all__ = ["phrase"]

_PHRASE_STDIN = click.option("--phrase-stdin", is_flag=True, help="Read the phrase from one line of standard input.")


@click.group()
def phrase() -> None:
    """Draw, check and normalise phrases. Nothing here talks to a server or keeps anything."""


@phrase.command()
@click.option("--words", default=6, show_default=True, help="Words to draw, 6 to 24; each brings about 10 bits.")
@command_options
def draw(here: Here, words: int) -> None:
    """Draw a phrase of common words that are easily told apart by ear.

    \b
    Example:
      hushtag phrase draw --words 7
    """
    from hushtag.phrase import draw_phrase

    drawn = draw_phrase(words)
    here.note(f"{drawn.effective_bits:.1f} bits; write it down or learn it, nobody can restore it:")
    here.say(drawn.text, phrase=drawn.text, bits=drawn.effective_bits, words=words)


@phrase.command()
@_PHRASE_STDIN
@command_options
def check(here: Here, phrase_stdin: bool) -> None:
    """Tell whether a phrase is strong enough to be enrolled; exits with 2 and says what to add if not.

    \b
    Example:
      hushtag phrase check
    """
    from hushtag.phrase import canonicalize, check_phrase

    here.secrets.phrase_stdin = phrase_stdin
    strength = check_phrase(canonicalize(here.secrets.new_phrase()))
    kind = "drawn" if strength.drawn else "free"
    text = f"Strong enough: a {kind} phrase of {strength.words} words, at least {strength.bits:.1f} bits."
    here.say(text, bits=strength.bits, words=strength.words, drawn=strength.drawn)


@phrase.command()
@_PHRASE_STDIN
@command_options
def canonical(here: Here, phrase_stdin: bool) -> None:
    """Print the canonical form of a phrase: what every way of writing it becomes.

    \b
    Example:
      echo "Twenty-One Pelicans!" | hushtag phrase canonical --phrase-stdin
    """
    from hushtag.phrase import canonicalize

    here.secrets.phrase_stdin = phrase_stdin
    text = canonicalize(here.secrets.new_phrase())
    here.say(text, canonical=text)
