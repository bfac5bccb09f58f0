// Package schema lets the form of messages change while they are stored and read: each
// says what it is, old readers and new ones agree on which can read which, and what
// cannot be read is put aside with its reason.
//
// # Intent
//
// Let writers and readers of one type of message be upgraded at different times, and let no message be misread in silence.
//
// # Forces
//
//   - Events outlive the programs that wrote them; a Go decoder reads what is missing as zero and what is unknown as nothing, and does not say so.
//   - A reader that refuses all that is new stops all progress; one that takes all misreads.
//   - One bad message must not hold up the good ones, and must not be lost.
//   - Events do not change; but some are wrong, and some are about a person who may ask to be forgotten.
//
// # On NATS
//
// [Define] generates a JSON Schema of each version of a Go type, and is told how to get
// from one to the next: [Extend] if old readers may read on, which it checks, [Replace]
// if they must not. A [Channel] keeps events of one type on schema.<type>.<key>, in the
// stream SCHEMA_<type>. Four headers are the format indicator: Content-Type, Schema-Name,
// Schema-Version, and Schema-Since, the oldest version whose readers can read it. Guard
// wraps a handler for any durable consumer of that stream; what cannot be read it
// copies to invalid.<type>.<consumer>.<sequence>.<time> in the stream INVALID_<type>, if
// nothing is there (Nats-Expected-Last-Subject-Sequence), and then terminates. A [Vault]
// is a key-value bucket whose messages can be erased. JetStream throughout, as core
// messages are not there to be read later.
//
// # Guarantees
//
//   - A reader is given what every field of it means, in T, or it is not given it: an older version is
//     brought up step by step, a newer one is read if its writer's schema permits (TestVersions, TestDecodeRefuses, TestRoundTrip).
//     What a schema does not show, as cents that become euros, or what an UnmarshalJSON makes of it, is for Replace.
//   - If [Compatible] finds no breaks, the reader reads every document of the writer, and no field as another value
//     (TestCompatibleHolds); it finds some where there are none rather than miss one, and names the field
//     (TestCompatible). One that just unmarshals misread 12 of 100 in silence (TestBlindReader).
//   - A change that breaks readers fails: as Extend, in Define (TestDefine); in a version that is recorded, in [Type.Hold] (TestHold, TestRecorded).
//   - Nothing is published that its schema does not let pass (TestEncodeRefuses, TestBadInput).
//   - Loss: each message is handled or in the invalid message channel with its reason before it is settled, whatever is
//     cut, killed or restarted (TestSweep, TestSweepFindsTwin, TestDivert, TestNotYetDiverted). Too large for a copy, its body stays where it is (TestTooLargeToCopy).
//   - Duplication: it is diverted once for each consumer (TestDivertedOnce), and handled once or more (TestAgain).
//   - Order and delay: what is invalid holds up the rest for as long as it takes to copy it, up to 5s; with nowhere to go it waits
//     aside (TestNowhereToDivert), until MaxAckPending of them do, and then all wait (TestTooManyToDivert). What a handler
//     failed on comes again, out of order, after 1s and then later (TestHandler, TestHandlersOwnErrors, TestAfterTheEnd).
//   - [Channel.Correct] keeps both events; who does not heed it counts both (TestCorrect).
//   - [Channel.Redact] erases an event from the disk, and its diverted copies, and leaves a gap; not from other copies, and not what readers have (TestRedact),
//     who may divert it yet (TestRedactInHand).
//   - [Vault.Forget] makes what was sealed for a person unreadable in all copies (TestForget, TestSealAtOnce, TestForgottenWhileSealing), unless
//     the key was copied, or is read from the log of a replicated stream, where it stays for a time, as what is redacted does (TestReplicas). In a bucket as CreateKeyValue makes it, a purged key stays on
//     the disk, so such a bucket is refused (TestBucketKeepsKeys).
//   - Streams that exist are compared, and changed by Provision only (TestStreamsAreLeftAlone).
//
// # When not to use it
//
// If writers and readers are deployed as one, a Go type is schema enough. For binary formats use Protocol Buffers or
// Avro, which have such rules built in; across languages, the recorded schemas are what to share. Validating costs
// some microseconds per message, four times an Unmarshal (BenchmarkDecode).
//
// # Related patterns
//
// deadletter keeps what could be read and not handled. eventstore is where events that never change are kept. idempotent
// makes of once or more once.
//
// # Also known as
//
// Datatype Channel, Format Indicator, Invalid Message Channel (Hohpe and Woolf); schema registry, upcasting, tolerant reader; crypto-shredding.
package schema
