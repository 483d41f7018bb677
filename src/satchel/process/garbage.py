"""How often the process looks for garbage in cycles, which reference counting leaves."""

import gc

# Calls leave hardly any cycles. With Python's own 700 objects each looking took a tenth of a small download's time,
# and one in a hundred calls waited for it several times as long.
_OBJECTS = 50_000
_YOUNG_LOOKS = 20
_MIDDLE_LOOKS = 100


def look_for_garbage_seldom() -> None:
    """To be called once the process is set up: what is there now stays, and is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, _YOUNG_LOOKS, _MIDDLE_LOOKS)
