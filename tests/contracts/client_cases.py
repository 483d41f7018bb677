"""What the SDK must get from any server of this API; a server joins by giving the `service` fixture."""

import hashlib
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from satchel.client import AsyncClient, Client
from satchel.contract.errors import Forbidden, NotFound, Unauthorized


@dataclass(frozen=True, slots=True)
class Service:
    """A running server: a message of its own, the files in it (name to bytes), and the id of an item in it."""

    url: str
    api_key: str
    message_id: str
    files: dict[str, bytes]
    item_id: str


def names_in(folder: Path) -> list[str]:
    """What a folder holds, temporaries too."""
    return sorted(path.name for path in folder.iterdir())


class ClientCases:
    """Inherited by the suite of each server."""

    @pytest.fixture
    async def client(self, service: Service) -> AsyncIterator[AsyncClient]:
        async with AsyncClient(service.url, service.api_key) as client:
            yield client

    async def test_the_list_names_every_file(self, service: Service, client: AsyncClient) -> None:
        listed = await client.list_attachments(service.message_id)
        assert {each.name: each.size for each in listed if each.is_file} == {
            name: len(content) for name, content in service.files.items()
        }

    @pytest.mark.parametrize("suffix", ["", "/", "/api/v1", "/api/v1/"])
    async def test_the_base_url_may_end_in_many_ways(self, service: Service, suffix: str) -> None:
        async with AsyncClient(service.url + suffix, service.api_key) as client:
            assert await client.list_attachments(service.message_id)

    async def test_a_stream_tells_what_it_is_and_gives_the_bytes(self, service: Service, client: AsyncClient) -> None:
        for each in await client.list_attachments(service.message_id):
            if each.is_file:
                content = service.files[each.name]
                async with client.open_attachment(service.message_id, each.id) as stream:
                    assert stream.filename == each.name
                    assert stream.content_type.partition(";")[0] == each.content_type
                    assert (stream.start, stream.length, stream.size) == (0, len(content), len(content))
                    assert b"".join([piece async for piece in stream]) == content

    async def test_a_stream_goes_on_where_it_broke(self, service: Service, client: AsyncClient) -> None:
        name, content = max(service.files.items(), key=lambda file: len(file[1]))
        file_id = next(each.id for each in await client.list_attachments(service.message_id) if each.name == name)
        async with client.open_attachment(service.message_id, file_id) as stream:
            etag = stream.etag
        assert etag is not None
        middle = len(content) // 2
        async with client.open_attachment(service.message_id, file_id, start=middle, etag=etag) as stream:
            assert (stream.start, stream.length, stream.size) == (middle, len(content) - middle, len(content))
            assert stream.etag == etag
            assert b"".join([piece async for piece in stream]) == content[middle:]
        async with client.open_attachment(service.message_id, file_id, start=middle, etag="of-other-bytes") as stream:
            assert stream.start == 0

    async def test_a_download_is_the_file(self, service: Service, client: AsyncClient, tmp_path: Path) -> None:
        for number, each in enumerate(await client.list_attachments(service.message_id)):
            if each.is_file:
                content = service.files[each.name]
                done = await client.download(
                    service.message_id, each.id, tmp_path / str(number), expected_size=len(content)
                )
                assert done.sha256 == hashlib.sha256(content).hexdigest()
                assert done.path.read_bytes() == content
        assert all(name.isdigit() for name in names_in(tmp_path))

    async def test_an_archive_holds_every_file_and_tells_of_the_rest(
        self, service: Service, client: AsyncClient, tmp_path: Path
    ) -> None:
        done = await client.download_archive(service.message_id, tmp_path / "all.zip")
        assert done.sha256 == hashlib.sha256((tmp_path / "all.zip").read_bytes()).hexdigest()
        assert (done.content_type, done.filename) == ("application/zip", "attachments.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            assert archive.testzip() is None
            members = {name: archive.read(name) for name in archive.namelist()}
        told = {each["id"]: each["path"] for each in json.loads(members.pop("manifest.json"))["attachments"]}
        assert members == service.files
        assert told.pop(service.item_id) is None
        assert sorted(told.values()) == sorted(service.files)

    async def test_an_archive_of_an_unknown_message_is_not_found(
        self, service: Service, client: AsyncClient, tmp_path: Path
    ) -> None:
        with pytest.raises(NotFound):
            await client.download_archive("unknown", tmp_path / "all.zip")
        assert names_in(tmp_path) == []

    async def test_an_item_cannot_be_downloaded(self, service: Service, client: AsyncClient) -> None:
        with pytest.raises(Forbidden) as refused:
            async with client.open_attachment(service.message_id, service.item_id):
                pass
        assert refused.value.reason == "attachment_type_not_downloadable"

    async def test_what_is_unknown_is_not_found(self, service: Service, client: AsyncClient) -> None:
        for message_id in ("unknown", "..", "", "a/b", "a\r\nb"):
            with pytest.raises(NotFound):
                await client.list_attachments(message_id)
        with pytest.raises(NotFound):
            async with client.open_attachment(service.message_id, "unknown"):
                pass

    async def test_a_wrong_key_is_refused(self, service: Service) -> None:
        async with AsyncClient(service.url, "wrong-key") as client:
            with pytest.raises(Unauthorized):
                await client.list_attachments(service.message_id)


def list_blocking(service: Service) -> dict[str, bytes]:
    """All files of the message by the blocking client, as a program without an event loop gets them."""
    with Client(service.url, service.api_key) as client:
        found = {}
        for each in client.list_attachments(service.message_id):
            if each.is_file:
                with client.open_attachment(service.message_id, each.id) as stream:
                    assert stream.size == len(service.files[each.name])
                    found[each.name] = b"".join(stream)
        return found
