"""PostgreSQL, Redis and S3 over TLS, and Redis with an ACL.

The servers from pip are built without TLS, so a relay with a real certificate stands in front of each. PostgreSQL's
clients first ask for TLS in its own protocol; the relay answers as the server would.
"""

import asyncio
import datetime
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import boto3
import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from fettle.db import Database, DatabaseAway
from fettle.queue import Doorbell, connect, listen
from fettle.settings import Settings, invalid_setting
from fettle.storage.protocol import Away
from fettle.storage.s3 import S3Storage
from tests.fettle.storage.conftest import CREDENTIALS

STARTTLS = 8  # bytes of PostgreSQL's SSLRequest
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its own authority, for 127.0.0.1; the key is in the same file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    unencrypted = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


@asynccontextmanager
async def relay(certificate: Path, target: Connect, *, starttls: bool = False) -> AsyncIterator[int]:
    """The port of a TLS server in front of the target."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if starttls:
                await reader.readexactly(STARTTLS)
                writer.write(b"S")
                await writer.start_tls(context)
            inner_reader, inner_writer = await target()
            ways = [asyncio.create_task(copy(*pair)) for pair in ((reader, inner_writer), (inner_reader, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            inner_writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client refused the certificate, which is the point of some tests
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=None if starttls else context)
    yield server.sockets[0].getsockname()[1]
    server.close()


class TestPostgresql:
    @pytest.fixture
    async def port(self, certificate: Path, postgresql: str) -> AsyncIterator[int]:
        folder = postgresql.split("host=")[1]
        (path,) = Path(folder).glob(".s.PGSQL.*[0-9]")
        async with relay(certificate, lambda: asyncio.open_unix_connection(path), starttls=True) as port:
            yield port

    async def test_a_url_as_hosted_services_print_it_is_taken(self, port: int, certificate: Path) -> None:
        url = f"postgres://postgres@127.0.0.1:{port}/postgres?sslmode=verify-full&sslrootcert={certificate}"
        database = Database(Settings(database_url=url).database)
        async with database.snapshot() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        await database.close()

    async def test_a_certificate_that_nobody_vouches_for_is_refused(self, port: int) -> None:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=verify-full&sslrootcert={certifi.where()}"
        database = Database(Settings(database_url=url).database)
        with pytest.raises(DatabaseAway, match="certificate verify failed"):
            await database.ping()
        await database.close()


class TestRedis:
    USER = ("fettle", "on", ">secret-1", "~fettle:*", "~arq:*", "&*", "+@all", "-@admin", "-@dangerous", "+info")

    @pytest.fixture
    async def port(self, certificate: Path, redis_url: str) -> AsyncIterator[int]:
        inner = int(redis_url.rsplit(":", 1)[1].split("/")[0])
        async with relay(certificate, lambda: asyncio.open_connection("127.0.0.1", inner)) as port:
            yield port

    async def test_a_user_with_few_rights_rings_and_listens_over_tls(
        self, port: int, certificate: Path, redis_url: str
    ) -> None:
        async with Redis.from_url(redis_url) as admin:
            await admin.execute_command("ACL", "SETUSER", *self.USER)
            url = f"rediss://fettle:secret-1@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
            settings = Settings(redis_url=SecretStr(url))
            doorbell, job = Doorbell(settings), f"ftjob-{uuid.uuid4().hex}"
            await doorbell.ping()
            await doorbell.ring(job)
            assert await admin.zcard("fettle:doorbell") >= 1
            rung = asyncio.Event()
            listening = asyncio.create_task(listen(settings, rung.set))
            await asyncio.wait_for(rung.wait(), 20)
            for _ in range(100):  # heard, and not only woken because Redis was away
                if await admin.zcard("fettle:doorbell") == 0:
                    break
                await asyncio.sleep(0.1)
            assert await admin.zcard("fettle:doorbell") == 0
            listening.cancel()
            await asyncio.wait({listening}, timeout=20)
            await doorbell.close()
            await admin.execute_command("ACL", "DELUSER", "fettle")
            await admin.delete("fettle:doorbell")

    async def test_without_its_certificate_it_is_away(self, port: int) -> None:
        client = connect(Settings(redis_url=SecretStr(f"rediss://127.0.0.1:{port}/0")))
        with pytest.raises(RedisError, match="certificate verify failed"):
            await client.ping()
        await client.aclose(close_connection_pool=True)


class TestS3:
    @pytest.fixture
    async def settings(self, certificate: Path, s3_endpoint: str, tmp_path: Path) -> AsyncIterator[Settings]:
        inner = int(s3_endpoint.rsplit(":", 1)[1])
        bucket = f"fettle-{uuid.uuid4().hex}"
        boto3.client("s3", endpoint_url=s3_endpoint, **CREDENTIALS).create_bucket(Bucket=bucket)
        async with relay(certificate, lambda: asyncio.open_connection("127.0.0.1", inner)) as port:
            yield Settings(
                data=tmp_path, storage_url=f"s3://{bucket}", s3_endpoint=f"https://127.0.0.1:{port}",
                s3_access_key_id="id", s3_secret_access_key=SecretStr("secret"),
            )  # fmt: skip

    async def test_objects_pass_with_an_authority_of_ones_own(
        self, settings: Settings, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        storage = S3Storage(settings)

        async def chunks() -> AsyncIterator[bytes]:
            yield b"an object"

        assert await storage.put("folder/key", chunks()) == 9

    async def test_without_it_storage_is_away_and_says_why(self, settings: Settings) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"an object"

        with pytest.raises(Away, match="certificate"):
            await S3Storage(settings).put("folder/key", chunks())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root:a/canary@db/fettle", "'mysql' is not a supported database"),
        ("postgres://root:canary@db/fettle?channel_binding=require", "Unknown option in the URL: 'channel_binding'"),
    ],
)
def test_a_url_that_cannot_work_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(database_url=url)
    assert said in invalid_setting(refused.value)
    assert "canary" not in invalid_setting(refused.value)
