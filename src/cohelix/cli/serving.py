"""What `cohelix node serve` and `cohelix hub serve` share: where they listen, and their certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for every one.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")]
Certificate = Annotated[
    Path | None, typer.Option("--tls-certificate", exists=True, dir_okay=False, help="PEM chain; serves HTTPS.")
]
CertificateKey = Annotated[
    Path | None, typer.Option("--tls-key", exists=True, dir_okay=False, help="PEM private key of the certificate.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that answer; they share the mapped data.")]
Json = Annotated[bool, typer.Option("--json", help="Taken as every command takes it; the ready line stays.")]
