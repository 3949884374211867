"""Reads OTLP: spans and log records become the dictionaries of `Span.from_fields` and `LogRecord.from_fields`.

Export requests come in as bytes, in protobuf or in JSON. The keys of a dictionary are the names of OTLP's JSON, its
values are decoded, and bytes are base64 text. A span that cannot be read is counted and does not affect the others.

::

    request.py       reads what is selected of a request that a receiver got
    files.py         reads requests in files, whose encoding and signal are not known
    json.py          one request in OTLP/JSON
    protobuf.py      one request in protobuf
    wire.py          finds the selected spans in protobuf, without a look at the others
    utf8.py          repairs protobuf whose texts are not UTF-8

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md
"""
