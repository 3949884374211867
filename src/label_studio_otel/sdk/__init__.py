"""The entrance in the application's process: what the OpenTelemetry SDK calls there, up to the spool file.

`processor.py`, `exporter.py` and `log_processor.py` are the SDK's interfaces; `autoload.py` adds them if the exporter
is named in `OTEL_TRACES_EXPORTER`. Each passes its spans to `boundary.py`, which lets no exception out, selects the LLM
calls and passes their records to `recorder.py`. One rule holds for all of it: the application's threads never wait for
another process, for the network or for SQLite. Whatever may wait is done in `delivery_thread.py`.
"""
