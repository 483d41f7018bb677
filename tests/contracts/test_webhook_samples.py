"""The samples that docs/webhooks.md gives to those who verify signatures do so."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from satchel.contract.signing import new_secret, signature_headers

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
SAMPLES = [
    sample
    for sample in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    if "def received(" in sample
]
BODY = '{"id": "m", "subject": "Rechnung für Mai"}'.encode()


def sampled(sample: str) -> Any:
    found: dict[str, Any] = {}
    exec(compile(sample, str(PAGE), "exec"), found)
    return found["received"]


def test_there_are_three() -> None:
    assert len(SAMPLES) == 3


@pytest.mark.parametrize("sample", SAMPLES, ids=["standardwebhooks", "ours", "by hand"])
def test_a_sample_takes_what_is_signed_and_nothing_else(sample: str) -> None:
    received, secret, other, now = sampled(sample), new_secret(), new_secret(), datetime.now(UTC)
    for secrets in ([secret], [secret, other], [other, secret]):
        assert received(secret, signature_headers(secrets, "d-1", now, BODY), BODY)["id"] == "m"
    headers = signature_headers([secret], "d-1", now, BODY)
    refused = [
        (headers, BODY + b" "),
        ({**headers, "webhook-id": "d-2"}, BODY),
        (signature_headers([other], "d-1", now, BODY), BODY),
        (signature_headers([secret], "d-1", now - timedelta(minutes=10), BODY), BODY),
        (signature_headers([secret], "d-1", now + timedelta(minutes=10), BODY), BODY),
        ({**headers, "webhook-signature": "v1,"}, BODY),
        ({**headers, "webhook-signature": ""}, BODY),
    ]
    for wrong, body in refused:
        with pytest.raises(Exception, match=r".") as error:
            received(secret, wrong, body)
        assert type(error.value).__name__ in {"WebhookVerificationError", "InvalidSignature", "ValueError"}
