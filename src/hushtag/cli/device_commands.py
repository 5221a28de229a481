"""Commands of the device secret: show it by name, give it to another device, take one in."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.options import command_options
from hushtag.cli.stdin import IdleError
from hushtag.cli.text import safe_text
from hushtag.errors import MalformedError

if TYPE_CHECKING:
    from hushtag.client import Client

__all__ = ["device"]


@click.group()
def device() -> None:
    """The device secret: a phrase enrolled with --this-device opens nothing without it, whatever the server knows.

    Every device has one from its first login, used or not. It lies in the system's keyring, or in a file of the state
    directory where there is none. Nobody can restore it: give it to a second device, and keep a recovery code.

    \b
    Examples:
      hushtag device offer    here, and on the other device
      hushtag device accept
    """


@device.command()
@command_options
def show(here: Here) -> None:
    """Show the names of the secrets this device holds, the one in use first. A name is for comparing, and no secret."""
    with here.logged_in() as client:
        names = client.device.names()
    here.say("\n".join(f"{name}{'  (in use)' * (not at)}" for at, name in enumerate(names)), names=names)


@device.command()
@click.argument("name", nargs=-1, required=True)
@command_options
def use(here: Here, name: tuple[str, ...]) -> None:
    """Put the secret of this NAME (four words) in use; the others stay.

    \b
    Example:
      hushtag device use unprovoked refinement histogram furniture
    """
    with here.logged_in() as client:
        client.device.use(" ".join(name))
        now = client.device.names()[0]
    here.say(f"In use: {now}", name=now)


@device.command()
@click.argument("name", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
def drop(here: Here, name: tuple[str, ...], yes: bool) -> None:
    """Forget the secret of this NAME (four words), which is not in use: of a device you do not pair with any more.

    Phrases that were enrolled with it open nothing on this device then, and nowhere if no other device has it.

    \b
    Example:
      hushtag device drop unprovoked refinement histogram furniture
    """
    here.confirm(f"Forget the secret {safe_text(' '.join(name))} for good?", yes=yes)
    with here.logged_in() as client:
        client.device.drop(" ".join(name))
        names = client.device.names()
    here.say("Forgotten.", dropped=" ".join(name), names=names)


@device.command()
@click.option("--offline", is_flag=True, help="Carry the three lines between the devices yourself.")
@command_options
def offer(here: Here, offline: bool) -> None:
    """Give the secret in use to another device of yours: run `hushtag device accept` there, and type the code.

    The code goes from this screen to that keyboard by your eyes alone. It is good for one try and 5 minutes. The rest
    goes through the server, which learns nothing of it; with --offline three lines go over any way that suits you, a
    chat or a shared folder, and who reads them learns nothing either.

    With --json each step is one object on a line of its own, written before the next is waited for: "step" is "code"
    (with code), then "paired" (name). With --offline it is "offer" (code, offer), then, once the answer was read from
    standard input, "delivery" (delivery).
    """
    from hushtag.pairing_messages import PAIRING_SECONDS

    if not offline:
        with here.logged_in() as client:
            name = client.device.give(lambda code: _show_code(here, code))
        here.say(f"The other device now has the secret {name}", step="paired", name=name)
        return
    with here.logged_in() as client:
        offering = client.device.offer()
        here.note(
            f"Code: {offering.code}\nOn the other device: hushtag device accept --offline\n\n"
            "Its program asks for this line:",
            needed=True,
        )
        here.say(offering.offer, step="offer", code=offering.code, offer=offering.offer)
        here.note("Paste here the line it answers with:")
        answer = _line(here, "answer", PAIRING_SECONDS)
        with _as_input():
            delivery = client.device.deliver(offering, answer)
    here.note("Give it this last line:")
    here.say(delivery, step="delivery", delivery=delivery)


@device.command()
@click.option("--code-stdin", is_flag=True, help="Read the code from one line of standard input, before the offer.")
@click.option("--offline", is_flag=True, help="The other device runs `offer --offline`: carry the lines yourself.")
@command_options
def accept(here: Here, code_stdin: bool, offline: bool) -> None:
    """Take in the secret of another device, which runs `hushtag device offer`, and put it in use here.

    With --json each step is one object on a line of its own, written before the next is waited for: with --offline
    "step" is "answer" (with answer), once the offer was read from standard input; the last is "paired" (name).
    """
    with here.logged_in() as client:
        code = _line(here, "code") if code_stdin else here.secrets.hidden("Code", option="--code-stdin")
        if not offline:
            taken = client.device.take(code)
            here.say(f"This device now uses the secret {taken}", step="paired", name=taken)
            return
        here.note("Paste the line of the other device:")
        line = _line(here, "offer")
        with _as_input():
            accepting = client.device.answer(code, line)
        here.note("Give it this line:")
        here.say(accepting.answer, step="answer", answer=accepting.answer)
        here.note("Paste its last line:")
        line = _line(here, "delivery")
        with _as_input():
            name = client.device.accept(accepting, line)
    here.say(f"This device now uses the secret {name}", step="paired", name=name)


def _show_code(here: Here, code: str) -> None:
    if here.as_json:
        here.say(code, step="code", code=code)
    else:
        text = f"Code: {code}\nOn the other device: hushtag device accept\n\nWaiting for it, up to 5 minutes."
        here.note(text, needed=True)
    sys.stdout.flush()


@contextmanager
def _as_input() -> Iterator[None]:
    """Refuse what a person has pasted as any other input: no server has sent it."""
    try:
        yield
    except MalformedError as error:
        raise UsageError(f"{error}; look whether it was pasted whole") from None


def _line(here: Here, what: str, seconds: float | None = None) -> str:
    sys.stdout.flush()
    try:
        line = here.secrets.stdin.line(idle=seconds)
    except IdleError:
        raise UsageError("no answer within 5 minutes; begin again") from None
    if not line:
        raise UsageError(f"no {what} on standard input")
    return line


@device.command()
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG (mode 0600) instead.")
@command_options
def qr(here: Here, png: Path | None) -> None:
    """Show the secret in use as a QR image, for `hushtag device import-qr` on another device.

    The image is the secret itself: show it to nobody, and delete the file afterwards. `device offer` needs none.
    """
    if png is None and (here.as_json or not sys.stdout.isatty()):
        raise UsageError("the image is for a terminal; use --png FILE")
    with here.logged_in() as client:
        image, name = _image(client), client.device.names()[0]
    if png is None:
        click.echo(image.terminal())
    else:
        from hushtag.cli.files import write_file

        write_file(png, image.png())
    here.say(f"The secret {name}", name=name, png=png)


class _Image:
    """A QR image of level M: 15 % of it may be lost."""

    def __init__(self, text: str) -> None:
        try:
            import segno
        except ModuleNotFoundError:
            raise UsageError("QR images need more than the bare client: pip install 'hushtag[device]'") from None
        self._code = segno.make_qr(text, error="m")

    def terminal(self) -> str:
        import io

        out = io.StringIO()
        self._code.terminal(out, compact=True)
        return out.getvalue()

    def png(self) -> bytes:
        import io

        out = io.BytesIO()
        self._code.save(out, kind="png", scale=6)
        return out.getvalue()


def _image(client: "Client") -> _Image:
    return _Image(client.device.text())


@device.command("import-qr")
@click.option("--text-stdin", is_flag=True, help="Read the image's text from one line of standard input.")
@command_options
def import_qr(here: Here, text_stdin: bool) -> None:
    """Take in a secret from the text of a QR image, as a camera reads it, and put it in use here."""
    with here.logged_in() as client:
        text = _line(here, "text") if text_stdin else here.secrets.hidden("Text of the image", option="--text-stdin")
        with _as_input():
            name = client.device.accept_text(text)
    here.say(f"This device now uses the secret {name}", name=name)
