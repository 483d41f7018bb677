"""A gateway without a network: a store in a temporary file, a mail source in memory, the application around them."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.types import ASGIApp

from satchel.contract.scopes import Scope
from satchel.gateway.admission import Admission
from satchel.gateway.api.application import ApiOptions, build_application
from satchel.gateway.limits.downloads import Downloads
from satchel.gateway.limits.rates import AccountRates, FailedKeys, Limits
from satchel.gateway.limits.windows import MemoryWindow
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.service import AttachmentService
from satchel.gateway.store.database import DATABASE_FILE, Store, open_database
from satchel.gateway.store.keys import create_key
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX, MemorySource, ref, summary

MakeKey = Callable[..., str]
MakeApp = Callable[..., ASGIApp]


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file as a new gateway has it, to be copied: to make one takes longer than most tests."""
    folder = tmp_path_factory.mktemp("new")
    open_database(folder).dispose()
    return folder / DATABASE_FILE


@pytest.fixture
def engine(tmp_path: Path, new_database: Path) -> Iterator[sa.Engine]:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    shutil.copy(new_database, folder)
    engine = open_database(folder)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: sa.Engine) -> Iterator[Store]:
    store = Store(engine, 1)
    yield store
    store.close()


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


@pytest.fixture
def make_key(engine: sa.Engine) -> MakeKey:
    add_mailbox(engine, MAILBOX)
    add_mailbox(engine, OTHER_MAILBOX)

    def make(*scopes: Scope, mailboxes: tuple[str, ...] = (MAILBOX,)) -> str:
        wanted = scopes or tuple(Scope)
        expires_at = datetime.now(UTC) + timedelta(days=1)
        key, _ = create_key(engine, "test", scopes=wanted, mailboxes=mailboxes, expires_at=expires_at)
        return key

    return make


@pytest.fixture
def index(engine: sa.Engine) -> Callable[..., None]:
    """Puts messages into the index: ids of MAILBOX, or of another."""

    def put(*message_ids: str, mailbox: str = MAILBOX) -> None:
        refs = [ref(message_id, mailbox) for message_id in message_ids]
        record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(one, summary(one), is_baseline=True) for one in refs])

    return put


@pytest.fixture
def make_app(store: Store, source: MemorySource) -> MakeApp:
    def make(
        *,
        limit: int = 0,
        failed_keys: int = 0,
        downloads: Downloads | None = None,
        public_url: str | None = None,
        ready: bool = True,
        archives: Downloads | None = None,
        docs_page: bool = True,
    ) -> ASGIApp:
        async def checks() -> dict[str, bool]:
            return {"store": True, "intake": ready}

        limits = Limits(
            AccountRates(MemoryWindow(), lambda _: limit),
            FailedKeys(MemoryWindow(), failed_keys),
            downloads or Downloads(per_key=100, in_all=1000),
            archives or Downloads(per_key=100, in_all=1000),
        )
        admission = Admission(store, limits)
        return build_application(
            admission,
            AttachmentService({DEFAULT_ACCOUNT_ID: source}),
            Reporting(store),
            checks,
            options=ApiOptions(public_url=public_url, docs_page=docs_page),
        )

    return make
