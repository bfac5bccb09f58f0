// Package schema versions a type of message: it validates each message by a
// JSON Schema, upcasts old versions to the newest one, and checks which readers
// can read a new version.
//
// # Intent
//
// Upgrade publishers and readers of a message type at different times, without
// a message that is read with wrong values.
//
// # Forces
//
//   - Stored messages outlive the programs that published them.
//   - json.Unmarshal reads a missing field as zero and ignores an unknown one,
//     without an error.
//   - A reader that refuses all unknown fields stops every change. A reader that
//     accepts everything reads wrong values.
//
// # On NATS
//
// Four headers of a message are its format indicator: Content-Type,
// Schema-Name, Schema-Version, and Schema-Since, the oldest version whose
// readers can read the message. The payload is JSON. Subjects, streams and
// consumers are the caller's, core NATS or JetStream: datatype keeps a stream
// to one such type.
//
// [Define] generates a JSON Schema for each version of a Go struct. [Extend] is
// a compatible change, which Define checks; [Replace] is a breaking one.
// [Type.Encode] validates a value and returns headers and payload.
// [Type.Decode] validates a payload and upcasts it. [Type.Verify] compares the
// versions with recorded schemas, in a test.
//
// # Guarantees
//
//   - Reading: Decode returns a value with the meaning of each field, or an
//     error. An older version is upcast step by step. A newer version is read if
//     its format indicator permits it (TestVersions, TestDecodeRefuses,
//     TestRoundTrip).
//   - Compatibility: if [Compatible] finds no incompatibility, the reader reads
//     every document of the writer with the same values (TestCompatibleHolds).
//     It reports a false one rather than miss one, and names the field
//     (TestCompatible). A reader that only unmarshals read 12 of 100 documents
//     with wrong values, without an error (TestBlindReader).
//   - Changes: a breaking change fails in Define if it is an Extend
//     (TestDefine). A changed version that was recorded fails in Verify
//     (TestVerify, TestRecorded).
//   - Publishing: Encode refuses a value that is invalid by its schema
//     (TestEncodeRefuses).
//   - Loss and duplication: not promised. They depend on how the caller sends a
//     message: core NATS can lose it, and a publisher can send it twice
//     (TestNotPromised).
//   - Order: each message is read alone, in any order of versions
//     (TestVersions).
//   - Delay: no call needs the server. Decode takes about four times as long as
//     json.Unmarshal (BenchmarkDecode).
//
// # Limits
//
//   - A schema shows the shape of data, not its meaning. If cents become euros,
//     use Replace or a new field name. The same holds for a type with its own
//     UnmarshalJSON.
//   - A version that was published does not change, not even by an optional
//     field: readers of that version refuse the unknown field.
//   - A name that comes twice in an object, and a number with an exponent of
//     more than three digits, are refused (TestDecodeRefuses).
//   - An upcast that fails is an error of Decode, also if its cause is
//     temporary.
//   - A payload must fit max_payload (1 MB by default). The headers take about
//     100 bytes.
//   - A name is 1 to 64 of A-Z a-z 0-9 _ - (TestDefine).
//
// # When not to use it
//
//   - Publishers and readers are deployed together: a Go struct is enough.
//   - The format is binary: Protocol Buffers and Avro have such rules built in.
//
// # Related patterns
//
// datatype validates at the publisher and the consumer of a stream, and diverts
// what a consumer cannot read. encrypt makes single fields erasable. eventstore
// stores events that do not change. envelope standardizes the other headers.
//
// # Also known as
//
// Format Indicator (EIP); schema registry, schema evolution, upcasting,
// tolerant reader, message versioning.
//
// # Kind
//
// Messaging
package schema
