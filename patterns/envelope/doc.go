// Package envelope puts every message into one envelope that all services understand:
// who says what, when, about what, in which conversation, and because of what.
//
// # Intent
//
// Let whoever handles, stores, traces or merely passes on a message know what it is,
// and tell the story it belongs to, without knowing what is in it.
//
// # Forces
//
//   - Services written by many, in many languages, must agree on a few names, and no more.
//   - A story crosses streams, requests and replies; each hop is a chance to lose its thread.
//   - A message may come twice. Then it is the same one, and so are its consequences.
//   - Strangers do not know our envelope, and their headers must do nothing inside.
//
// # On NATS
//
// An [Envelope] is that of CloudEvents 1.0. [Write] puts it on headers ce-id, ce-source,
// ce-type …: the binary mode of the binding to NATS (1.0.3-wip); [Read] reads that, and
// structured mode, a JSON body. Nats-Msg-Id becomes the source and the id, by which a
// stream knows a message it has. [Envelope.Next] makes the envelope of a consequence.
// The trace context is in ce-traceparent, which says where the message was made, and in
// traceparent, lower case as W3C asks and as NATS, which tells Traceparent from it, needs:
// there other tools look, and the server, which traces a sampled message itself where an
// account has msg_trace. [Wrap] and [Unwrap] are the border. A [Tracer] publishes,
// requests and handles with a span for each; it uses the API of OpenTelemetry only.
// Core NATS and JetStream alike; NATS 2.2, for headers.
//
// # Guarantees
//
//   - What Write wrote, Read reads, whatever text is in it, through any server (TestAnyEnvelope,
//     TestHeaders), and the official SDK too, both ways, so long as no value needs to be encoded,
//     which the SDK does not do (TestSDK, TestSDKDoesNotEncode).
//   - No envelope is written or read that lacks an id, source or type, has two of one, holds a
//     line break, or more than 1,024 bytes of anything; the error names it (TestWriteRefuses,
//     TestReadRefuses). Names in any case, a quoted value, a trace that is none are read
//     (TestReadAccepts).
//   - Correlation and causation survive hops through streams, requests and replies: the envelopes
//     of a story are a tree (TestThreeHops, TestCorrelation), if its ids are different (TestNext).
//   - A message that comes again has the same id (TestRedelivered), and if ids of consequences
//     follow from their cause's, each is stored once, whatever is cut or dies, within the
//     stream's window of duplicates (TestSweep, TestSweepFindsTwins). Two messages are one to a
//     stream if source and id are the same, so two consequences need two ids (TestMessageID).
//   - Unwrap gives back the headers and body that Wrap was given, byte for byte; no header of the
//     stranger's is in force inside, none of ours goes outside (TestBorder, TestUnwrapOurs).
//   - A story is one trace: who handles is below, and linked to, who published or requested
//     (TestThreeHops), once for each delivery (TestRedelivered); a batch is linked to each
//     (TestBatch), of the last 128 by default of the SDK (TestBatchLinks). What fails says so, a
//     panic too (TestTracerRefuses, TestPanic). Attributes are those of the semantic conventions
//     (TestAttributes). A service that does not trace hands the trace on (TestNoTracing), its state
//     too (TestTraceState), a relay keeps it (TestMadeBefore). Request waits 5s at most where ctx
//     says nothing (TestRequestEnds).
//   - A traceparent is found in any case, and written in lower case (TestCanonicalCase); the
//     server's tracing goes by it (TestServerTraces).
//   - Not promised: order, delivery, that core NATS drops what comes twice, or that what an envelope
//     says is true: whoever may publish may write any source (TestNotPromised).
//
// # When not to use it
//
// Within one service, whose messages nobody else reads. Where each byte counts: it is
// some 300 of them.
//
// # Related patterns
//
// requestreply and queueing carry it; outbox stores it with the data; idempotent keeps
// ids for longer than a stream does.
//
// # Also known as
//
// Message, Document Message, Correlation Identifier, Envelope Wrapper (Hohpe and Woolf);
// CloudEvents; distributed tracing; metadata.
package envelope
