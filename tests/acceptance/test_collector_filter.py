"""What the filter of collector/fan-out.yaml lets through, and what its redaction masks, in a real Collector."""

from __future__ import annotations

import json
import random
import re
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from corpus.recordings import runs, variants
from label_studio_otel import reading
from label_studio_otel.otlp import files as otlp
from label_studio_otel.spans import MESSAGE_EVENTS, Span
from support.collector import Collector, Jaeger, fan_out_variables
from support.pages import ROOT
from support.receiving import JSON, PROTOBUF, span, traces
from support.servers import wait_for
from support.telemetry_sink import TelemetrySink

if TYPE_CHECKING:
    from collections.abc import Iterator


class FanOut(NamedTuple):
    """A Collector with collector/fan-out.yaml, and where it sends to."""

    collector: Collector
    honeycomb: TelemetrySink
    bridge: TelemetrySink

    def send(self, body: bytes, path: str = "/v1/traces", content_type: str = JSON) -> None:
        """Send a request, which must be taken."""
        request = urllib.request.Request(self.collector.url + path, body, {"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    def settle(self) -> None:
        """Return when all that was taken is where it should go."""
        wait_for(lambda: self.collector.metric("otelcol_exporter_queue_size") == 0, what="end of the queues")

    def pass_on(self, *sent: dict[str, Any]) -> list[dict[str, Any]]:
        """Send spans of one trace, and return those that the bridge got."""
        trace_id = f"{random.getrandbits(128):032x}"
        for start in range(0, len(sent), 1000):
            self.send(traces(*({**one, "traceId": trace_id} for one in sent[start : start + 1000])))
        self.settle()
        assert len(got(self.honeycomb, trace_id)) == len(sent)
        return got(self.bridge, trace_id)


def got(sink: TelemetrySink, trace_id: str) -> list[dict[str, Any]]:
    return [one.fields for one in sink.spans if one.fields["traceId"] == trace_id]


@pytest.fixture(scope="module")
def fan_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FanOut]:
    directory = tmp_path_factory.mktemp("collector")
    with (
        Jaeger(directory) as jaeger,
        TelemetrySink(x_honeycomb_team="key-1") as honeycomb,
        TelemetrySink(authorization="Bearer token-1") as bridge,
    ):
        variables = fan_out_variables(jaeger, honeycomb, bridge)
        with Collector(directory, **variables) as collector:
            yield FanOut(collector, honeycomb, bridge)
            assert (honeycomb.refused, bridge.refused) == (0, 0)


def with_attributes(number: int, attributes: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return a span in OTLP/JSON."""
    return span(
        number, **{"attributes": [{"key": key, "value": value(one)} for key, one in attributes.items()], **changed}
    )


def value(said: Any) -> dict[str, Any]:
    if isinstance(said, list):
        return {"arrayValue": {"values": [value(one) for one in said]}}
    if isinstance(said, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": value(one)} for key, one in said.items()]}}
    return {"intValue": str(said)} if isinstance(said, int) else {"stringValue": said}


def keys(spans: Any) -> Counter[tuple[str, str]]:
    return Counter((one["traceId"], one["spanId"]) for one in spans)


def unlike(sent: list[dict[str, Any]], arrived: list[dict[str, Any]]) -> set[str]:
    """Return the names of attributes that came with another value; nothing else may differ."""
    as_sent = {(one["traceId"], one["spanId"]): one for one in sent}
    changed: set[str] = set()
    for one in arrived:
        before = as_sent[one["traceId"], one["spanId"]]
        assert {**one, "attributes": {}} == {**before, "attributes": {}}
        assert one["attributes"].keys() == before["attributes"].keys()
        changed.update(name for name, had in before["attributes"].items() if one["attributes"][name] != had)
    return changed


def test_every_recorded_call_of_every_dialect_comes_through_and_little_else(fan_out: FanOut) -> None:
    recorded: list[dict[str, Any]] = []
    events = 0
    for variant in variants(ROOT / "tests" / "cases"):
        bodies: dict[str, bytes] = {}
        for name, body in (request for run in runs(variant) for request in run.requests):
            path = "/v1/traces" if ".otlp" in name else "/v1/logs"
            found = otlp.decode(body, name)
            recorded += found.spans
            events += sum(is_message(log) for log in found.logs)
            if name.endswith(".json"):
                fan_out.send(body, path)
            else:  # requests in protobuf one after the other are one request
                bodies[path] = bodies.get(path, b"") + body
        for path, body in bodies.items():
            fan_out.send(body, path, PROTOBUF)
    calls = [one for one in recorded if reading.is_llm_call(one["attributes"], one["scope"]["name"])]
    known = {reading.dialect_of(Span.from_fields(one)).name for one in calls}

    fan_out.settle()
    passed = keys(one.fields for one in fan_out.bridge.spans)
    assert keys(calls) - passed == Counter()
    assert unlike(recorded, [one.fields for one in fan_out.bridge.spans]) == {"llm.headers"}
    # Of Google's own form there is no recording; the vocabulary below has it.
    assert known == {dialect.name for dialect in reading.DIALECTS} - {"google_adk"}
    # Half of what was recorded are wrappers around calls, or their tools; few of them look like calls.
    assert len(calls) < passed.total() < 1.1 * len(calls) < 0.6 * len(recorded)
    assert sum(is_message(one.fields) for one in fan_out.bridge.logs) == events > 1000


def is_message(log: dict[str, Any]) -> bool:
    name = log["eventName"] or log["attributes"].get("event.name")
    return name in MESSAGE_EVENTS


#: What dialects look at when they tell a call from other spans, with values of calls and of others.
VOCABULARY: dict[str, list[Any]] = {
    "gen_ai.operation.name": [
        *("chat", "text_completion", "generate_content", "acompletion", "agenerate_content", "anthropic_messages"),
        *("aresponses", "atext_completion", "completion", "llm_request", "responses"),
        *("invoke_agent", "execute_tool", "embeddings", "execute_task"),
    ],
    "gen_ai.system": ["openai"],
    "gen_ai.tool.name": ["weather"],
    "gen_ai.input.messages": ["[]"],
    "gen_ai.prompt.0.role": ["user"],
    "gen_ai.prompt.0.user": ["Hi"],
    "gen_ai.prompt.75.role": ["user"],
    "gen_ai.completion.0.role": ["assistant"],
    "gen_ai.completion.0.content": ["Hello"],
    "gen_ai.completion.0.finish_reason": ["stop"],
    "llm.request.type": ["chat", "completion", "embedding", "rerank"],
    "traceloop.span.kind": ["workflow", "tool"],
    "openinference.span.kind": ["LLM", "CHAIN", "AGENT"],
    "ai.operationId": [
        *("ai.generateText.doGenerate", "ai.streamText.doStream"),
        *("ai.generateObject.doGenerate", "ai.streamObject.doStream"),
        *("ai.generateText", "ai.toolCall", "ai.embed.doEmbed"),
    ],
    "langsmith.span.kind": ["llm", "chain", "tool"],
    "langfuse.observation.type": ["generation", "span", "agent"],
    "mlflow.spanType": ['"CHAT_MODEL"', '"LLM"', "CHAT_MODEL", "LLM", '"CHAIN"', "TOOL"],
    "haystack.component.input_spec": ['{"messages": {"type": "list"}}', '{"prompt": {"type": "str"}}', '{"query": {}}'],
    "haystack.component.output_spec": ['{"replies": {"type": "list"}}', '{"documents": {}}'],
    "haystack.agent.step.llm.input": ["{}"],
    "haystack.agent.step.llm.output": ["{}"],
    "gcp.vertex.agent.llm_request": ["{}"],
    "request_data": ["{}"],
    "logfire.msg_template": ["Chat Completion with {!r}", "Embedding Creation with {}", "GET {path}"],
}


def test_the_words_of_all_dialects_stand_in_the_vocabulary() -> None:
    """A new dialect must be let through by the filter, too."""
    words = frozenset().union(*(dialect.keys for dialect in reading.DIALECTS))
    assert {word for word in words if not re.match(r"gen_ai\.prompt\.\d\d", word)} <= VOCABULARY.keys()


def test_no_span_that_can_be_a_call_is_dropped(fan_out: FanOut) -> None:
    chance = random.Random(7)
    sent = []
    for number in range(1, 6001):
        chosen = chance.sample(sorted(VOCABULARY), chance.randint(1, 4))
        sent.append(with_attributes(number, {key: chance.choice(VOCABULARY[key]) for key in chosen}))
    read = otlp.decode(traces(*sent), "sent").spans
    calls = {one["spanId"] for one in read if reading.is_llm_call(one["attributes"], "acme")}

    passed = {one["spanId"] for one in fan_out.pass_on(*sent)}

    assert calls - passed == set()
    assert 2000 < len(calls) < len(passed) < 5000  # else the vocabulary says nothing


def test_only_log_events_with_messages_come_through_and_redacted(fan_out: FanOut) -> None:
    body = value({"content": "Ask jane@example.com, 4111111111111111"})
    records = [
        {"timeUnixNano": "1", "eventName": "gen_ai.user.message", "body": body},
        {"timeUnixNano": "2", "attributes": [{"key": "event.name", "value": value("gen_ai.choice")}], "body": body},
        {"timeUnixNano": "3", "body": value("GET / 200")},
        {"timeUnixNano": "4", "eventName": "session.start"},
    ]
    before = len(fan_out.bridge.logs)
    fan_out.send(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode(), "/v1/logs")
    fan_out.settle()

    arrived = [one.fields for one in fan_out.bridge.logs[before:]]
    assert [one["timeUnixNano"] for one in arrived] == [1, 2]
    assert [one["body"] for one in arrived] == [{"content": "Ask ****, ****"}] * 2


def test_requests_queries_and_wrappers_are_dropped(fan_out: FanOut) -> None:
    others: list[dict[str, Any]] = [
        {"http.request.method": "POST", "url.full": "https://api.openai.com/v1/chat/completions"},
        {"db.system.name": "postgresql", "db.query.text": "SELECT 'chat'"},
        {"rpc.system": "grpc"},
        {},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.input.messages": "[]"},
        {"gen_ai.operation.name": "execute_tool"},
        {"gen_ai.operation.name": "embeddings"},
        {"gen_ai.operation.name": "chat", "traceloop.span.kind": "task"},
        {"openinference.span.kind": "CHAIN", "input.value": "chat"},
        {"langsmith.span.kind": "chain"},
        {"langfuse.observation.type": "agent"},
        {"mlflow.spanType": '"TOOL"'},
        {"ai.operationId": "ai.generateText"},
        {"haystack.component.output_spec": '{"documents": {"type": "list"}}'},
        {"llm.request.type": "embedding", "gen_ai.prompt.0.content": "Hi"},
    ]
    assert fan_out.pass_on(*(with_attributes(number, one) for number, one in enumerate(others, 1))) == []


#: What an attribute holds, and what of it the bridge gets.
REDACTED = {
    "mail": ("Write to jane.doe+x@mail.example.com, now", "Write to ****, now"),
    "mails": ("a@example.org;b@example.org", "****;****"),
    "no mail": ("@example, 5 @ 3, a@b", "@example, 5 @ 3, a@b"),
    "visa": ("4111 1111 1111 1111 and 4111-1111-1111-1111", "**** and ****"),
    "amex": ("3782 822463 10005", "****"),
    "bare": ("4111111111111111 378282246310005", "**** ****"),
    "no card": ("1732312345678, 1732312345678901234, 41111", "1732312345678, 1732312345678901234, 41111"),
    "fraction": ("0.4111111111111111 and -12.5334567890123456", "0.4111111111111111 and -12.5334567890123456"),
    "key": ("use sk-ant-api03-abcdefghijklmnopqrst", "use ****"),
    "no key": ("a risk-assessment-of-everything-else", "a risk-assessment-of-everything-else"),
}


def test_values_of_what_looks_like_credentials_are_masked_whole(fan_out: FanOut) -> None:
    secret = dict.fromkeys(
        ("http.request.header.authorization", "openai.api_key", "x-api-key", "llm.headers"), "secret"
    )
    plain = {"gen_ai.operation.name": "chat", "metadata.user_api_key_user_id": "jane", "gen_ai.usage.input_tokens": 5}

    (one,) = fan_out.pass_on(with_attributes(1, {**secret, **plain}))

    assert one["attributes"] == {**dict.fromkeys(secret, "****"), **plain}


@pytest.mark.parametrize("what", REDACTED)
def test_what_is_redacted(fan_out: FanOut, what: str) -> None:
    said, expected = REDACTED[what]
    within = {"role": "user", "content": f'{said}\n{said}\t{said}"{said}\\{said}é{said}'}
    sent = {
        "gen_ai.operation.name": "chat",
        "plain": said,
        "json": json.dumps(within),
        "json in json": json.dumps({"arguments": json.dumps(within)}),
    }
    event = {"name": "exception", "attributes": [{"key": "exception.message", "value": value(said)}]}
    (one,) = fan_out.pass_on(with_attributes(1, sent, events=[event], status={"code": 2, "message": said}))

    attributes = one["attributes"]
    assert attributes["plain"] == expected
    for read in (json.loads(attributes["json"]), json.loads(json.loads(attributes["json in json"])["arguments"])):
        # With the backslash before what it masks a pattern takes the character that it stands for.
        assert re.sub(r"[\n\t\\é]", "", read["content"]) == f'{expected * 3}"{expected * 3}'
    assert one["events"][0]["attributes"] == {"exception.message": expected}
    assert one["status"]["message"] == expected
    (whole,) = got(fan_out.honeycomb, one["traceId"])
    assert (whole["attributes"], whole["status"]["message"]) == (sent, said)


@pytest.mark.parametrize("what", sorted(REDACTED.keys() - {"bare"}))
def test_lists_and_maps_are_redacted_too_but_for_bare_numbers_of_cards(fan_out: FanOut, what: str) -> None:
    said, expected = REDACTED[what]
    sent = {"gen_ai.operation.name": "chat", "list": ["Hi", said], "map": {"content": said}}

    (one,) = fan_out.pass_on(with_attributes(1, sent))

    # What holds something to be masked becomes JSON.
    read = [json.loads(had) if isinstance(had := one["attributes"][name], str) else had for name in ("list", "map")]
    assert read == [["Hi", expected], {"content": expected}]
