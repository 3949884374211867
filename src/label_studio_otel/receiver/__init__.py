"""The receivers of OTLP, and the bridge service that runs them together with delivery.

Export requests of any SDK or Collector come in; calls and log events go to `pipeline.accept`, and to nothing else. A
request is answered with success only when its calls are on the disk, and everything that a client uses has a limit.

::

    service.py         the bridge service: receivers and delivery in one process
    http.py            an HTTP/1.1 server, on streams.py (connections with and without TLS)
    otlp_http.py       OTLP/HTTP, as the handler of that server
    otlp_grpc.py       OTLP/gRPC
    decoding.py        from the body of a request to records
    group_commit.py    from records to the outbox, those of all waiting requests in one commit
    responses.py       success, partial success and errors in protobuf and JSON
    access.py, tls.py  which clients may send; certificates
    settings.py        the settings that only the bridge has; config_file.py: the YAML file of `serve --config`
    metrics.py         the numbers of the receivers; metric_readers.py: their publication
"""
