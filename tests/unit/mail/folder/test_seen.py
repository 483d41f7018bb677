from satchel.mail.folder.seen import Seen


def test_names_are_new_once() -> None:
    seen = Seen()
    assert seen.add(b"a")
    assert not seen.add(b"a")
    assert b"a" in seen
    assert b"b" not in seen


def test_many_names_stay_known_and_small() -> None:
    seen = Seen()
    names = [b"%d.M1P2.host" % number for number in range(30_000)]
    assert all(seen.add(name) for name in names)
    assert not any(seen.add(name) for name in names)
    assert all(name in seen for name in names)
    assert b"other" not in seen
    assert len(seen) == 30_000
