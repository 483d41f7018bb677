import pytest

from satchel.mail.graph.ids import (
    Place,
    attachment_graph_id,
    attachment_path,
    graph_id,
    message_path,
    public_id,
    read_locator,
    user_path,
)
from satchel.mail.source import AttachmentNotFound, MessageNotFound, MessageRef

MAILBOX = "a@example.com"


@pytest.mark.parametrize("of_graph", ["AAMkAGI2_x-Y=", "AAkALgAA+/=", "A", "x" * 1024])
def test_ids_go_out_and_come_back(of_graph: str) -> None:
    public = public_id(of_graph)
    assert set(public) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=~")
    assert graph_id(public) == of_graph


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/b", "../..", "~", "~!", "~QQ", "~Li4", "~YSBi", "a b", "ä", "x" * 1025]
)
def test_text_that_is_no_id_of_ours_is_none_of_graphs(text: str) -> None:
    assert graph_id(text) is None
    with pytest.raises(AttachmentNotFound):
        attachment_graph_id(text)


def test_a_locator_keeps_the_message_id_where_it_can() -> None:
    ref = Place("AAkALgAA=", "<1@x>").ref(MAILBOX)
    assert ref == MessageRef(MAILBOX, "AAkALgAA=", "AAkALgAA=\n<1@x>")
    assert read_locator(ref) == Place("AAkALgAA=", "<1@x>")
    received = Place("AAkALgAA=", "<1@x>", 1_748_937_540)
    assert read_locator(received.ref(MAILBOX)) == received
    assert received.ref(MAILBOX).locator == "AAkALgAA=\n<1@x>\n1748937540"
    for unusable in ("", "<" + "x" * 998 + ">", "a\nb", "a\0b"):
        assert read_locator(Place("AAkALgAA=", unusable).ref(MAILBOX)) == Place("AAkALgAA=")
        assert read_locator(Place("AAkALgAA=", unusable, 1).ref(MAILBOX)) == Place("AAkALgAA=")
    assert read_locator(Place("AAkALgAA=", "<1@x>", -1).ref(MAILBOX)) == Place("AAkALgAA=", "<1@x>")
    assert read_locator(MessageRef(MAILBOX, "AAkALgAA=", "AAkALgAA=\n<1@x>\nsoon")) == Place("AAkALgAA=", "<1@x>")


@pytest.mark.parametrize("locator", ["", "x", "AAkALgAA", "../AAkALgAA=", "\nAAkALgAA=", "AAkALgAA=/..", "x" * 10_000])
def test_a_forged_locator_is_no_locator(locator: str) -> None:
    with pytest.raises(MessageNotFound):
        read_locator(MessageRef(MAILBOX, "AAkALgAA=", locator))


def test_paths_hold_nothing_that_leads_elsewhere() -> None:
    assert user_path("o'brien+x/../y?z#@example.com") == "users/o%27brien%2Bx%2F..%2Fy%3Fz%23@example.com"
    assert message_path(MAILBOX, "A+/=") == "users/a@example.com/messages/A%2B%2F="
    assert attachment_path(MAILBOX, "A=", "B/") == "users/a@example.com/messages/A=/attachments/B%2F"
