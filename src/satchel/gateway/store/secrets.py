"""Webhook secrets in the store, always sealed."""

from satchel.gateway.sealing import MASTER_KEY, MasterKey


def sealed(secret: str, webhook_id: str, master_key: MasterKey | None) -> str:
    """A webhook's secret as it is stored. Raises ValueError for one that cannot be used, or where no key seals it."""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("The secret goes into a header: use printable ASCII characters without spaces, 16 or more.")
    if master_key is None:
        raise ValueError(
            f"Secrets are stored sealed, which needs a master key: set {MASTER_KEY}, or {MASTER_KEY}_FILE to a file "
            "with it, here and for the gateway. Make one: satchel gateway master-key new"
        )
    return master_key.seal(secret, webhook_id)
