"""What comes in from the wire: OTLP of any SDK or Collector. A receiver stands before `pipeline.accept`, and only that.

::

    http.py        HTTP/1.1 over sockets, with limits on everything that a client can make us hold or wait for
    otlp_http.py   OTLP/HTTP: which request gets which answer
    otlp_grpc.py   OTLP/gRPC, the same by grpcio
    reading.py     a request's body to what of it is taken in
    intake.py      what requests bring goes into the outbox, all that wait at a time in one commit
    bridge.py      receiver and delivery in one process, until it is told to end
    access.py      who may send
    answers.py     success, partial success and errors as they are written
"""

from __future__ import annotations

__all__: list[str] = []
