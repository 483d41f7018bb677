"""`satchel gateway serve`.

The gateway is imported inside the command: it takes longer to import than other commands take to run.
"""

from typing import Annotated

import typer

from satchel.cli.configured import ConfigFile, load, startable
from satchel.gateway.settings import GatewaySettings


def serve(
    api_only: Annotated[
        bool,
        typer.Option(
            "--api-only", help="One more process of the API, beside a gateway that runs on the same data folder."
        ),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; running downloads are given time to end."""
    from satchel.gateway.app import run

    settings = load(GatewaySettings, config)
    with startable(settings.data_dir):
        run(settings, api_only=api_only)
