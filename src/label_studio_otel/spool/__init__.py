"""Append-only files in which an application's process keeps its LLM calls until a deliverer has read them.

`encoder.py` makes records in the form that `record.py` defines. `writer.py` appends them to the process's own file
(`open_file.py`) with one system call each, and holds them in memory while the disk refuses. `reader.py` is the
deliverer's side. Two rules hold: no reader treats a file as finished while its writer has it open, and no record that
was written whole is lost.
"""
