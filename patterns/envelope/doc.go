// Package envelope adds metadata to every message: ID, source, type, time,
// correlation, causation and trace context, as CloudEvents headers.
//
// # Intent
//
// Let each service handle, store, trace or forward a message by its metadata,
// without knowing its payload. Follow a conversation across services.
//
// # Forces
//
//   - Services of many teams and languages must agree on a few names, and no more.
//   - A conversation crosses streams, requests and replies. Each hop can lose its
//     correlation.
//   - A message can be delivered twice. It is the same message, and so are the
//     messages that it causes.
//   - A foreign message has no envelope, and its headers must have no effect inside.
//
// # On NATS
//
// An [Envelope] has the attributes of CloudEvents 1.0. [Write] writes them to the
// headers ce-id, ce-source, ce-type and so on: the binary mode of the NATS binding
// (1.0.3-wip). [Read] reads these headers, and structured mode, a JSON body.
// Nats-Msg-Id is the source and the ID, so that a stream drops duplicates.
// [Envelope.Next] returns the envelope of a message that this one caused.
//
// The trace context is in ce-traceparent, where the message was produced, and in
// traceparent, in lower case as W3C asks. NATS headers are case-sensitive. Other
// tools read traceparent, and so does the server: it traces a sampled message in an
// account with msg_trace. [Wrap] and [Unwrap] convert messages at the border of the
// system. A [Tracer] publishes, requests and handles with a span for each; it uses
// only the API of OpenTelemetry. The package works with core NATS and JetStream,
// from nats-server 2.2 (headers).
//
// # Guarantees
//
//   - Fidelity: Read returns what Write wrote, with any text, through any server
//     (TestAnyEnvelope, TestHeaders). The official SDK reads it too, and we read the
//     SDK's events, if no value needs encoding; the SDK does not encode (TestSDK,
//     TestSDKDoesNotEncode, TestStructured).
//   - Validation: Write and Read refuse an envelope without an ID, source or type,
//     with an attribute twice, a line break, or more than 1,024 bytes. The error
//     names the attribute (TestWriteRefuses, TestReadRefuses). Names in any case,
//     quoted values and a bad traceparent are accepted (TestReadAccepts).
//   - Correlation: correlation and causation survive streams, requests and replies;
//     the envelopes of a conversation are a tree (TestThreeHops, TestCorrelation), if
//     IDs are different (TestNext).
//   - Duplication: a redelivered message has the same ID (TestRedelivered). If a
//     handler derives IDs from the cause, each caused message is stored once within
//     the duplicate window, during disconnects and crashes (TestSweep, TestMutants).
//     A stream drops a message if source and ID are the same (TestMessageID). Core
//     NATS drops no duplicates (TestNotPromised).
//   - Isolation: Unwrap returns the headers and the payload that Wrap got, byte for
//     byte. No foreign header has an effect inside, and none of ours goes outside
//     (TestWrap, TestUnwrapOurs).
//   - Tracing: a conversation is one trace. The span of a handler is below, and
//     linked to, the span that published or requested (TestThreeHops), once for each
//     delivery (TestRedelivered). A batch links to each message (TestBatch,
//     TestBatchLinks). Errors and panics are recorded (TestTracerRefuses, TestPanic).
//     Attributes follow the semantic conventions (TestAttributes). A service without
//     tracing passes the trace and its state on (TestNoTracing, TestTraceState), and
//     a relay keeps it (TestProducedBefore).
//   - Interoperability: traceparent is read in any case, and written in lower case
//     (TestCanonicalCase). The message tracing of the server uses it
//     (TestServerTraces).
//   - Loss, order and delay: not promised; an envelope changes nothing about
//     delivery. Nor does it prove anything: every publisher can write any source
//     (TestNotPromised).
//   - Deadlines: Request ends with its context, or after 5 s if the context has no
//     deadline (TestRequestEnds).
//
// # Limits
//
//   - An attribute has at most 1,024 bytes (TestWriteRefuses).
//   - An envelope takes about 300 bytes of each message.
//   - The SDK of OpenTelemetry keeps 128 links of a span by default
//     (TestBatchLinks).
//   - Unknown attributes of an event are ignored.
//
// # When not to use it
//
//   - Messages stay within one service.
//   - Each byte counts.
//
// # Related patterns
//
// requestreply and queueing carry messages with an envelope. outbox stores it with
// the data. idempotent remembers IDs for longer than a stream does.
//
// # Also known as
//
// Message, Document Message, Correlation Identifier, Envelope Wrapper (EIP);
// CloudEvents, distributed tracing, metadata.
//
// # Kind
//
// Messaging
package envelope
