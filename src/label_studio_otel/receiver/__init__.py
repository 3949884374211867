"""What comes in from the wire: OTLP of any SDK or Collector. A receiver stands before `pipeline.accept`, and only that.

::

    http.py           HTTP/1.1 over sockets, with limits on everything that a client can make us hold or wait for
    otlp_http.py      OTLP/HTTP: which request gets which answer
    otlp_grpc.py      OTLP/gRPC, the same by grpcio
    decoding.py       a request's body to what of it is taken in
    group_commit.py   what requests bring goes into the outbox, all that wait at a time in one commit
    service.py        receivers and delivery in one process, until it is told to end
    access.py         which clients may send
    tls.py            certificates
    streams.py        the bytes of a connection, with TLS or without
    responses.py      success, partial success and errors as they are written
    settings.py       the settings that only the bridge has
    config_file.py    the YAML file of `serve --config`
    metrics.py        what requests came to, as metrics; measured.py counts and times those over HTTP
    metric_readers.py metrics as Prometheus text, and by OTLP
"""

from __future__ import annotations

__all__: list[str] = []
