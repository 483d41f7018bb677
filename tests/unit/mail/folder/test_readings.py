import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from satchel.mail.folder.files import OpenFile, identity
from satchel.mail.folder.message import OpenMessage
from satchel.mail.folder.readings import Readings
from satchel.mail.mime import Bounds
from satchel.testing.mail import message_with_files


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[OpenMessage]]:
    """Ten messages of four attachments."""
    found = []
    for number in range(10):
        path = tmp_path / str(number)
        path.write_bytes(message_with_files(number, 4, 100).to_bytes())
        fd = os.open(path, os.O_RDONLY)
        seen_as = identity(fd)
        found.append(OpenMessage(OpenFile(fd), 0, seen_as.size, seen_as, shared=False))
    yield found
    for each in found:
        each.close()


def read(readings: Readings, message: OpenMessage) -> object:
    with message.file.reading() as fd:
        reading = readings.of(message)
        structure = reading.structure(message, fd, Bounds())
        assert [reading.size(each, fd).total for each in structure.attachments] == [100] * 4
        readings.account(message)
        return structure


def test_a_message_is_read_once(opened: list[OpenMessage]) -> None:
    readings = Readings()
    assert read(readings, opened[0]) is read(readings, opened[0])
    assert read(readings, opened[0]) is not read(readings, opened[1])
    assert len(readings) == 2


def test_the_least_used_is_forgotten_when_there_are_too_many(opened: list[OpenMessage]) -> None:
    readings = Readings(max_messages=3)
    first = read(readings, opened[0])
    for message in opened[1:9]:
        read(readings, message)
        assert read(readings, opened[0]) is first
    assert len(readings) == 3
    for message in opened[7:]:
        read(readings, message)
    assert read(readings, opened[0]) is not first


def test_memory_is_bounded(opened: list[OpenMessage]) -> None:
    readings = Readings(max_bytes=20_000)
    for message in opened:
        read(readings, message)
        assert 0 < readings.held_bytes <= 20_000
    assert 0 < len(readings) < 10


def test_a_message_that_is_too_large_for_the_budget_is_still_read_once(opened: list[OpenMessage]) -> None:
    readings = Readings(max_bytes=1)
    assert read(readings, opened[0]) is read(readings, opened[0])
    read(readings, opened[1])
    assert len(readings) == 1
