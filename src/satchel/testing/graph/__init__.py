"""Microsoft Graph's mail, simulated: for tests of any program that reads mail through Graph."""

from satchel.testing.graph.calls import Call, Peaks
from satchel.testing.graph.dropfolder import DropFolder
from satchel.testing.graph.faults import ALWAYS, NEVER, Faults, When, chance, next_calls, parse_value
from satchel.testing.graph.limits import Limits
from satchel.testing.graph.simulator import GraphSimulator
from satchel.testing.graph.tenant import ARCHIVE

__all__ = [
    "ALWAYS",
    "ARCHIVE",
    "NEVER",
    "Call",
    "DropFolder",
    "Faults",
    "GraphSimulator",
    "Limits",
    "Peaks",
    "When",
    "chance",
    "next_calls",
    "parse_value",
]
