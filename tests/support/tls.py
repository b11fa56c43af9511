"""Certificates of an authority of their own, and an engine's socket behind TLS as `dockerd --tlsverify` has it."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import serving

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def authority(folder: Path) -> Path:
    """Make `ca.pem`, and its key, in a new folder."""
    folder.mkdir()
    _openssl(folder, "req", "-x509", *KEY, "-days", "2", "-subj", "/CN=A test", "-keyout", "ca.key", "-out", "ca.pem")
    return folder


def certificate(folder: Path, name: str, extension: str, key: str = "") -> None:
    """Make `<name>.pem`, signed by the folder's authority, and its key, `<name>.key` by default."""
    request = ["-subj", f"/CN={name}", "-addext", extension, "-keyout", key or f"{name}.key", "-out", "request.csr"]
    _openssl(folder, "req", *KEY, *request)
    signed_by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-copy_extensions", "copy"]
    _openssl(folder, "x509", "-req", "-in", "request.csr", *signed_by, "-out", f"{name}.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def behind_tls(socket: Path, folder: Path) -> Iterator[int]:
    """A port of loopback before a Unix socket, with the folder's `server.pem`, for clients of its authority alone.

    Yields:
        The port.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(2**16):
                target.write(chunk)
                await target.drain()
        target.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_unix_connection(socket)
        await asyncio.gather(pass_on(reader, asks), pass_on(answers, writer))

    @contextlib.asynccontextmanager
    async def server() -> AsyncIterator[int]:
        listening = await asyncio.start_server(join, "127.0.0.1", 0, ssl=context)
        yield listening.sockets[0].getsockname()[1]
        listening.close()

    with serving.in_a_thread(server) as port:
        yield port
