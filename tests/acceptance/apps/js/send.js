// Sends one LLM call and an HTTP span to a receiver, as an application traced by OpenTelemetry JS does, with its own
// exporters and their own retries; with `logs` as the third argument what was said goes as log events.
//
//   node send.js json|proto|grpc URL spans|logs
//
// Prints the ids of the call, and for each export whether it counts as done.
const { diag, DiagConsoleLogger, DiagLogLevel, trace, context } = require('@opentelemetry/api');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } = require('@opentelemetry/sdk-logs');

const [protocol, url, kind] = process.argv.slice(2);
const PACKAGES = { json: 'http', proto: 'proto', grpc: 'grpc' };

const resource = resourceFromAttributes({ 'service.name': 'shop', 'host.cpus': 2 });

// Every form of an AnyValue: the SDK lets only the plain ones through, the exporters write all of them.
const SAID = {
  'gen_ai.input.messages': [
    { role: 'system', parts: [{ type: 'text', content: 'Be brief.' }] },
    {
      role: 'user',
      parts: [
        { type: 'text', content: 'What is this? ✓' },
        { type: 'blob', modality: 'image', mime_type: 'image/png', content: new Uint8Array([137, 80, 78, 71]) },
      ],
    },
    { role: 'assistant', parts: [{ type: 'tool_call', id: 'c1', name: 'look', arguments: { at: 3, deep: [1.5, true, null] } }] },
    { role: 'tool', parts: [{ type: 'tool_call_response', id: 'c1', response: { seen: 'a bell' } }] },
  ],
  'gen_ai.output.messages': [{ role: 'assistant', parts: [{ type: 'text', content: 'A bell.' }], finish_reason: 'stop' }],
};
const CALL = {
  'gen_ai.operation.name': 'chat',
  'gen_ai.provider.name': 'openai',
  'gen_ai.request.model': 'gpt-4o-mini',
  'gen_ai.request.temperature': 0.25,
  'gen_ai.request.top_p': 1.0,
  'gen_ai.response.finish_reasons': ['stop'],
  'gen_ai.usage.input_tokens': 9007199254740991,
  'gen_ai.usage.output_tokens': 3,
  'gen_ai.conversation.id': 'c-1',
  'app.stream': false,
};
const EVENTS = [
  ['gen_ai.system.message', { content: 'Be brief.' }],
  ['gen_ai.user.message', { content: 'What is this? ✓' }],
  ['gen_ai.choice', { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'A bell.' } }],
];

function traced() {
  const memory = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(memory)] });
  const tracer = provider.getTracer('acme', '1.2');
  const request = tracer.startSpan('GET /', { attributes: { 'http.request.method': 'GET' } });
  const call = tracer.startSpan('chat', { attributes: CALL }, trace.setSpan(context.active(), request));
  if (kind === 'spans') Object.assign(call.attributes, SAID);
  call.end();
  request.end();
  return [call, memory.getFinishedSpans()];
}

function logged(call) {
  const memory = new InMemoryLogRecordExporter();
  const provider = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor({ exporter: memory })] });
  for (const [eventName, body] of EVENTS) {
    provider.getLogger('acme').emit({ eventName, body, context: trace.setSpan(context.active(), call) });
  }
  return memory.getFinishedLogRecords();
}

function exporter(signal, name) {
  const path = protocol === 'grpc' ? '' : `/v1/${signal === 'trace' ? 'traces' : 'logs'}`;
  const { [name]: Exporter } = require(`@opentelemetry/exporter-${signal}-otlp-${PACKAGES[protocol]}`);
  return new Exporter({ url: url + path, compression: 'gzip', timeoutMillis: 30_000 });
}

async function sent(client, items) {
  const result = await new Promise((done) => client.export(items, done));
  await client.shutdown();
  return result.error ? result.error.message : 'done';
}

async function main() {
  diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN);
  const [call, spans] = traced();
  const { traceId, spanId } = call.spanContext();
  const results = [];
  if (kind === 'logs') results.push(await sent(exporter('logs', 'OTLPLogExporter'), logged(call)));
  results.push(await sent(exporter('trace', 'OTLPTraceExporter'), spans));
  console.log(JSON.stringify({ traceId, spanId, results }));
}

main();
