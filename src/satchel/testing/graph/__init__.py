"""Microsoft Graph's mail, simulated: for tests of any program that reads mail through Graph."""

from satchel.testing.graph.calls import Call, Peaks
from satchel.testing.graph.faults import ALWAYS, NEVER, Faults, When, chance, next_calls
from satchel.testing.graph.limits import Limits
from satchel.testing.graph.simulator import ARCHIVE, GraphSimulator

__all__ = [
    "ALWAYS",
    "ARCHIVE",
    "NEVER",
    "Call",
    "Faults",
    "GraphSimulator",
    "Limits",
    "Peaks",
    "When",
    "chance",
    "next_calls",
]
