"""How many files and connections the process may have open."""

import resource


def raise_open_files() -> int:
    """Raise the soft limit to the hard one and return what it is then; each download needs a connection and a file.

    The usual soft limit of 1,024 is for programs that use select(), which nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # macOS has a hard limit without end that it does not let anybody have.
            return soft
    return hard
