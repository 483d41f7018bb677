"""`satchel gateway doctor`: what works, what does not, and what to do."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway.administration import Json, OfAccount, open_office
from satchel.cli.output import print_json, printable
from satchel.gateway.findings import Verdict, worst

if TYPE_CHECKING:
    from satchel.gateway.doctor import Report

# 2 is how the command line tells that it was used wrongly.
_EXIT_STATUS = {Verdict.GOOD: 0, Verdict.FAILURE: 1, Verdict.WARNING: 3}
_MARKS = {Verdict.GOOD: "ok", Verdict.UNKNOWN: "-", Verdict.WARNING: "warn", Verdict.FAILURE: "FAIL"}
_WIDTH = max(map(len, _MARKS.values()))


def doctor(account: OfAccount = None, json: Json = False, config: ConfigFile = None) -> None:
    """Look whether the mail of each account can be read as the settings say, and say what to do where it cannot.

    Exit status 0: all is well; 1: something fails; 3: there are warnings. Changes nothing.
    """
    from satchel.gateway.doctor import examine

    # What the library for tokens says of a refusal is told in our words.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    with open_office(config) as office:
        if account is not None:
            # Raises for one that the settings do not name.
            office.acting(account)
        wanted = {name: each for name, each in office.accounts.items() if account in {None, name}}
        reports = asyncio.run(examine(office.engine, wanted, office.ids, office.master_key()))
    verdict = worst(finding for report in reports for finding in report.findings)
    if json:
        print_json({"verdict": verdict, "accounts": reports})
    else:
        _print(reports)
    raise typer.Exit(_EXIT_STATUS[verdict])


def _print(reports: Sequence["Report"]) -> None:
    for number, report in enumerate(reports):
        if len(reports) > 1:
            typer.echo(f"{'' if number == 0 else chr(10)}{report.account} ({report.source})")
        for finding in report.findings:
            typer.echo(f"{_MARKS[finding.verdict]:<{_WIDTH}}  {printable(finding.text)}")
            if finding.advice:
                typer.echo(f"{'':<{_WIDTH}}  → {printable(finding.advice)}")
