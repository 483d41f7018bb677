import resource
from unittest.mock import patch

import pytest

from satchel.process.open_files import raise_open_files


def test_the_limit_is_raised_as_far_as_allowed() -> None:
    with patch("resource.getrlimit", return_value=(1024, 20_000)), patch("resource.setrlimit") as setting:
        assert raise_open_files() == 20_000
    setting.assert_called_once_with(resource.RLIMIT_NOFILE, (20_000, 20_000))


def test_nothing_is_done_where_nothing_can_be_gained() -> None:
    with patch("resource.getrlimit", return_value=(20_000, 20_000)), patch("resource.setrlimit") as setting:
        assert raise_open_files() == 20_000
    setting.assert_not_called()


@pytest.mark.parametrize("refusal", [OSError(), ValueError()])
def test_a_refusal_leaves_it_as_it_is(refusal: Exception) -> None:
    with patch("resource.getrlimit", return_value=(1024, -1)), patch("resource.setrlimit", side_effect=refusal):
        assert raise_open_files() == 1024
