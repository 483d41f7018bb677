"""The routines that run beside the receiver."""

from structlog.testing import capture_logs

from satchel.collector.app import guarded


async def test_a_round_of_a_routine_that_fails_is_told_and_is_not_the_last() -> None:
    async def broken() -> int:
        raise ZeroDivisionError("a secret name")

    with capture_logs() as logs:
        await guarded("swept", broken)
    assert [(entry["routine"], entry["error"]) for entry in logs] == [("swept", "ZeroDivisionError")]
    assert "secret" not in str(logs)
