"""A message's text as a webhook is given it: tidied, and made of HTML where there is no other."""

import re

_BLANK_LINES = re.compile(r"\n{3,}")


def tidied(text: str) -> str:
    """The text with LF at the ends of its lines and no blanks before them, without NULs, a byte order mark and empty
    lines around it."""
    lines = text.removeprefix("\ufeff").replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def html_text(html: str) -> str:
    """The text of any HTML as a reader sees it, tidied; "" where it has none. Nothing is fetched.

    Of a long one it is that of the beginning; what is deeper than 256 elements, and all behind that, is left out.
    Blocks on the processor for up to a second: call it in a thread.
    """
    # Its libraries take long to import, and most processes have no HTML to read.
    from satchel.mail import html_layout

    return _BLANK_LINES.sub("\n\n", tidied(html_layout.laid_out(html).replace("\N{NO-BREAK SPACE}", " ")))
