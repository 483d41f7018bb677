"""Runs durable workflows on DBOS: launch, queues, recovery, clean-up and shutdown.

It knows no message and no delivery. The programs' own rows are the truth; a workflow only says that a row needs work.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, Queue, Serializer

from satchel.durable.database import open_engine
from satchel.durable.logs import forwarded_logs
from satchel.durable.sqlite_clock import give_milliseconds

log = structlog.get_logger(__name__)

APPLICATION_VERSION = "1"
BUSY_POLL_SECONDS = 0.05
IDLE_POLL_SECONDS = 0.25
IDLE_AFTER_SECONDS = 2.0
CLAIM_AHEAD = 4
CLEANUP_BATCH = 500
CLEANUP_INTERVAL_SECONDS = 60.0
# Longer than between somebody's look at the rows and the request that follows from it, which may come too late. Not
# much longer: rows that were restored from a backup wait so long where they ask for an id that has ended since.
KEEP_FINISHED = timedelta(minutes=5)
KEEP_BROKEN = timedelta(minutes=1)

WorkflowFunction = Callable[..., Awaitable[None]]


class JsonSerializer(Serializer):
    """Arguments as JSON: readable in the database, and nothing in it can run code. An exception becomes its class."""

    def name(self) -> str:
        return "satchel_json"

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=lambda value: type(value).__name__)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)


@dataclass(slots=True)
class _Workflow:
    function: WorkflowFunction
    concurrency: int
    slots: asyncio.Semaphore
    queue: Queue | None = None
    poll_seconds: float = 0.0
    active_at: float = 0.0


@dataclass(slots=True)
class _Request:
    name: str
    workflow_id: str
    arguments: tuple[Any, ...]
    delay_seconds: float | None
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class DurableEngine:
    """The durable engine of one process (DBOS allows only one at a time).

    Workflows run on the event loop that `launch` was called on. Each named workflow has a queue of its own, on which
    at most `concurrency` run at once. The workflow must bear being run again from its start: after a kill, whatever
    was running is run again at the next launch. It must end by writing its outcome into the program's own rows; an
    exception out of it is a defect, is logged, and frees the id after a minute, so that the row can be enqueued again.
    """

    def __init__(self, name: str, database_url: str, *, executor_id: str = "local") -> None:
        """`name`: lower case letters, digits, `-`, `_`. `executor_id`: constant when embedded, else one per process."""
        self._name = name
        self._database_url = database_url
        self._executor_id = executor_id
        self._workflows: dict[str, _Workflow] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._requests: list[_Request] = []
        self._background: set[asyncio.Task[None]] = set()
        self._writing: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="durable")
        self._engine: sa.Engine | None = None
        self._client: DBOSClient | None = None
        self._dbos: DBOS | None = None

    def register(self, name: str, function: WorkflowFunction, *, concurrency: int) -> None:
        """Name a workflow before `launch`. Its arguments must be JSON values; keep them to ids and counts."""
        self._workflows[name] = _Workflow(function, concurrency, asyncio.Semaphore(concurrency))

    async def launch(self) -> None:
        """Open the engine's database, take up what an earlier process left, and start working.

        Call it on the event loop that owns the sessions which the workflows use.
        """
        self._engine = open_engine(self._database_url, synchronous="NORMAL")
        give_milliseconds(self._engine)
        config = DBOSConfig(
            name=self._name,
            system_database_url=self._database_url,
            system_database_engine=self._engine,
            application_version=APPLICATION_VERSION,
            executor_id=self._executor_id,
            serializer=JsonSerializer(),
            enable_otlp=False,
        )
        forwarded_logs(log)
        self._dbos = DBOS(config=config)
        for name, workflow in self._workflows.items():
            DBOS.workflow(name=name, max_recovery_attempts=None)(self._runner(workflow))
        # On the loop's own thread and nowhere else: DBOS submits workflows to the loop that it is launched on.
        DBOS.launch()
        self._client = DBOSClient(
            system_database_engine=self._engine, serializer=JsonSerializer(), application_name=self._name
        )
        await self._in_thread(self._register_queues)
        for routine in (self._pace, self._clean_up):
            self._keep(asyncio.create_task(for_ever(routine)))

    async def enqueue(self, name: str, workflow_id: str, *arguments: Any, delay_seconds: float | None = None) -> None:
        """Ask for a run; returns when that is committed. An id that is known already is left as it is.

        Requests that come while a commit is under way share the next one. A delay is rounded up to about a second.
        """
        request = _Request(name, workflow_id, arguments, delay_seconds)
        self._requests.append(request)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_requests())
        await asyncio.shield(request.done)

    async def shutdown(self, *, grace_seconds: float = 10.0) -> None:
        """Stop taking work, let what runs end within the grace, cancel the rest (it runs again at the next launch)."""
        if self._dbos is None:
            return
        for event in self._dbos.background_thread_stop_events:
            event.set()
        if self._running:
            await asyncio.wait(self._running, timeout=grace_seconds)
        for task in (*self._running, *self._background):
            task.cancel()
        await asyncio.gather(*self._running, *self._background, return_exceptions=True)
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._in_thread(self._destroy)
        self._thread.shutdown()
        self._dbos = None

    def _destroy(self) -> None:
        DBOS.destroy(destroy_registry=True)
        if self._client is not None:
            self._client.destroy()
        if self._engine is not None:
            self._engine.dispose()

    def _runner(self, workflow: _Workflow) -> WorkflowFunction:
        async def run(*arguments: Any) -> None:
            task = asyncio.current_task()
            if task is not None:
                # The task is DBOS's: it lives until the outcome is recorded, which shutdown waits for.
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            # A queue's limit does not hold for recovered workflows, so the limit is kept here.
            async with workflow.slots:
                self._touch(workflow)
                await workflow.function(*arguments)

        return run

    def _register_queues(self) -> None:
        for name, workflow in self._workflows.items():
            workflow.poll_seconds = IDLE_POLL_SECONDS
            workflow.queue = DBOS.register_queue(
                name,
                worker_concurrency=workflow.concurrency * CLAIM_AHEAD,
                polling_interval_sec=IDLE_POLL_SECONDS,
                on_conflict="always_update",
            )

    async def _write_requests(self) -> None:
        while self._requests:
            batch, self._requests = self._requests, []
            written = asyncio.get_running_loop().run_in_executor(self._thread, self._insert, batch)
            await asyncio.wait([written])
            error = written.exception()
            for request in batch:
                if error is not None:
                    request.done.set_exception(error)
                else:
                    request.done.set_result(None)
                    self._touch(self._workflows[request.name])

    def _insert(self, batch: list[_Request]) -> None:
        engine, client = self._engine, self._client
        if engine is None or client is None:
            message = "The durable engine is not launched."
            raise RuntimeError(message)
        with engine.begin() as connection:
            for request in batch:
                options = EnqueueOptions(
                    workflow_name=request.name,
                    queue_name=request.name,
                    workflow_id=request.workflow_id,
                    app_version=APPLICATION_VERSION,
                )
                if request.delay_seconds is not None:
                    options["delay_seconds"] = request.delay_seconds
                client.enqueue_in_transaction(connection, options, *request.arguments)

    def _touch(self, workflow: _Workflow) -> None:
        workflow.active_at = asyncio.get_running_loop().time()
        if workflow.poll_seconds != BUSY_POLL_SECONDS:
            self._woken.set()

    async def _pace(self) -> None:
        """Poll often while there is work: an empty poll costs 2 ms of CPU, so an idle engine should do few."""
        await _wait_at_most(self._woken, IDLE_AFTER_SECONDS / 2)
        self._woken.clear()
        now = asyncio.get_running_loop().time()
        for workflow in self._workflows.values():
            busy = now - workflow.active_at < IDLE_AFTER_SECONDS
            wanted = BUSY_POLL_SECONDS if busy else IDLE_POLL_SECONDS
            if wanted != workflow.poll_seconds and workflow.queue is not None:
                await self._in_thread(workflow.queue.set_polling_interval_sec, wanted)
                workflow.poll_seconds = wanted

    async def _clean_up(self) -> None:
        await asyncio.sleep(CLEANUP_INTERVAL_SECONDS)
        await self._in_thread(self._forget_finished)

    def _forget_finished(self) -> None:
        client, now = self._client, datetime.now(UTC)
        ages = ((["SUCCESS"], KEEP_FINISHED), (["ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"], KEEP_BROKEN))
        for statuses, keep in ages:
            while client is not None:
                finished = client.list_workflows(
                    status=statuses,
                    completed_before=(now - keep).isoformat(),
                    limit=CLEANUP_BATCH,
                    load_input=False,
                    load_output=False,
                )
                client.delete_workflows([workflow.workflow_id for workflow in finished])
                if len(finished) < CLEANUP_BATCH:
                    break

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


async def for_ever(routine: Callable[[], Awaitable[None]]) -> None:
    """Repeat; no failure is a reason to stop, least of all a database that cannot be written just now."""
    while True:
        try:
            await routine()
        except Exception as error:  # noqa: BLE001 - nobody would miss a routine that ended
            log.warning("durable_routine_failed", error=type(error).__name__)
            await asyncio.sleep(IDLE_AFTER_SECONDS)


async def _wait_at_most(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
