"""Metrics about this package itself, through the meter provider of the application or of the bridge.

Code that does something adds to plain integers (`counts.py`). `server_metrics.py` holds those of one Label Studio
server, `table.py` lists the metrics and what each is read from, and `instruments.py` makes the SDK's instruments. The
SDK reads them when it collects: reading touches neither disk nor database nor network. No attribute holds content.
"""
