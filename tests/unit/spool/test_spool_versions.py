"""Spool files of other versions of ours: the old ones are read for ever, newer ones are left for who can read them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from label_studio_otel import log
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.pipeline import ingest
from label_studio_otel.settings import Destination
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, count, is_of_another_version
from support.spooling import record

if TYPE_CHECKING:
    from pathlib import Path

#: A file as version 1 wrote it: a call with a short and a long attribute, and an operator's wish to retry.
VERSION_1 = (
    b'LSO\x01\\\x05\x00\x00Q\x9d\x05iV\x01\x00\x00{"destination":{"project_name":"Project","project_id":null,'
    b'"mode":"chat","project_config":null,"default_name":false},"resource":{"service.name":"app"},'
    b'"long":[["long",1026]],"span":{"traceId":"11111111111111111111111111111111","spanId":"2222222222222222",'
    b'"name":"chat gpt","startTimeUnixNano":3,"attributes":{"gen_ai.operation.name":"chat"}}}'
    + 513 * b"\xc3\xbc"
    + b'LSO\x01\x12\x00\x00\x00w\xd0\xfa\'\x0e\x00\x00\x00{"retry":true}'
)
OURS = b"".join(record("ours"))
NEWER = b"LSO\x02" + b"".join(record("newer"))[4:]


def _file(directory: Path, content: bytes) -> Path:
    path = directory / "spool" / "1.spool"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def _texts(file: SpoolFile, offset: int = 0) -> list[str]:
    return [str((spool.decode(read.payload).span or {})["attributes"]["text"]) for read in file.records(offset)]


def test_a_file_of_version_1_is_read(tmp_path: Path) -> None:
    with SpoolFile(_file(tmp_path, VERSION_1)) as file:
        call, wish = (spool.decode(read.payload) for read in file.records(0))
    assert (file.damaged, file.torn, file.newer) == (0, 0, None)
    assert call == spool.Record(
        Destination("Project", mode="chat"),
        {
            "traceId": "11111111111111111111111111111111",
            "spanId": "2222222222222222",
            "name": "chat gpt",
            "startTimeUnixNano": 3,
            "attributes": {"gen_ai.operation.name": "chat", "long": "\u00fc" * 513},
            "resource": {"service.name": "app"},
        },
    )
    assert wish == spool.Record(retry=True)


@pytest.mark.parametrize("content", [NEWER, NEWER + NEWER, NEWER[:13], b"LSO\x02" + b"of another form"])
def test_a_file_of_a_newer_version_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = _file(tmp_path, content)
    with SpoolFile(path) as file:
        assert _texts(file) == []
        assert (file.newer, file.damaged, file.torn) == (2, 0, 0)
        assert not file.remove()
    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["spool"]
    assert count(path, 0) == 0


def test_a_file_is_read_up_to_the_first_record_of_a_newer_version(tmp_path: Path) -> None:
    path = _file(tmp_path, OURS + NEWER)
    with SpoolFile(path) as file:
        assert _texts(file) == ["ours"]
        assert (file.newer, file.damaged, file.torn) == (2, 0, 0)
        assert _texts(file, len(OURS)) == []
        assert file.newer == 2
        assert not file.remove()


def test_behind_damage_a_newer_record_is_known_by_its_checksum(tmp_path: Path) -> None:
    with SpoolFile(_file(tmp_path, OURS[:-1] + NEWER)) as file:
        assert _texts(file) == []
        assert file.newer == 2
    with SpoolFile(_file(tmp_path, OURS[:-1] + NEWER[:-1])) as file:
        assert _texts(file) == []
        assert file.newer is None


def test_what_looks_newer_amid_records_of_ours_is_damage(tmp_path: Path) -> None:
    with SpoolFile(_file(tmp_path, OURS + NEWER + OURS)) as file:
        assert _texts(file) == ["ours", "ours"]
        assert (file.newer, file.damaged) == (None, len(NEWER))
        assert file.remove()
    assert [path.read_bytes() for path in (tmp_path / "damaged").iterdir()] == [OURS + NEWER + OURS]


def test_a_text_that_speaks_of_newer_records_does_not_hold_a_file_back(tmp_path: Path) -> None:
    torn = b"".join(record("LSO\uffff LSO2 LSO"))[:-1]
    with SpoolFile(_file(tmp_path, OURS + torn)) as file:
        assert _texts(file) == ["ours"]
        assert (file.newer, file.torn) == (None, len(torn))
        assert file.remove()


def test_what_a_newer_version_wrote_is_said_once_and_ours_is_delivered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_said", set())
    path = _file(tmp_path, OURS + NEWER)
    with closing(Outbox.in_file(tmp_path / "outbox.db")) as outbox:
        assert [ingest(tmp_path, outbox, 0.0) for _ in range(3)] == [1, 0, 0]
    (said,) = [entry.getMessage() for entry in caplog.records]
    assert "1.spool was written by a newer version of label-studio-otel" in said
    assert "upgrade" in said
    assert path.read_bytes() == OURS + NEWER


def test_a_file_that_is_gone_or_has_just_begun_is_of_no_other_version(tmp_path: Path) -> None:
    assert is_of_another_version(_file(tmp_path, NEWER)) is True
    assert is_of_another_version(_file(tmp_path, NEWER[:3])) is False
    assert is_of_another_version(tmp_path / "gone.spool") is False
