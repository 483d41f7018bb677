"""Places for running downloads."""

import pytest

from satchel.contract.errors import ApiError
from satchel.gateway.limits.downloads import Downloads


def test_each_key_has_its_own_bound_within_the_one_of_all() -> None:
    downloads = Downloads(per_key=2, in_all=3)
    slots = [downloads.enter("a"), downloads.enter("a")]
    with pytest.raises(ApiError) as refused:
        downloads.enter("a")
    assert (refused.value.status, refused.value.reason) == (503, "too_many_downloads")
    assert refused.value.retry_after_seconds
    slots.append(downloads.enter("b"))
    with pytest.raises(ApiError):
        downloads.enter("c")
    assert downloads.in_use == 3
    slots[0].close()
    downloads.enter("c")


def test_a_place_is_given_back_once() -> None:
    downloads = Downloads(per_key=5, in_all=5)
    slot, other = downloads.enter("a"), downloads.enter("a")
    slot.close()
    slot.close()
    assert downloads.in_use == 1
    other.close()
    assert downloads.in_use == 0
