// Package datatype keeps all messages of a channel to one type: it validates
// them at the publisher and at the consumer, and diverts what a consumer cannot
// read to an invalid message channel.
//
// # Intent
//
// Let a consumer handle only messages that it can read, and lose none of the
// others.
//
// # Forces
//
//   - Any client with the permission can publish anything on a subject.
//   - One invalid message must not block the valid ones.
//   - An invalid message must not be lost: it can be the fault of the reader.
//   - A retry does not make an invalid message valid. It does help after a
//     temporary error.
//
// # On NATS
//
// The stream DATATYPE_<type> stores the messages of a [Channel] on
// datatype.<type>.<key>. A [Codec] encodes and decodes them; a *schema.Type is
// one. [Channel.Guard] wraps a handler for any durable consumer of the stream.
// It copies an invalid message to
// invalid.<type>.<consumer>.<sequence>.<time> in the stream INVALID_<type>,
// and then terminates it. The copy has the headers Invalid-Reason,
// Invalid-Error, Invalid-Subject and Invalid-Sequence. The header
// Nats-Expected-Last-Subject-Sequence stores it once. [Channel.Correct]
// publishes with the header Datatype-Corrects.
//
// JetStream is needed, because a message must outlive a crash of its consumer.
//
// # Guarantees
//
//   - Loss: each message is handled, or stored in the invalid message channel,
//     before it is acknowledged or terminated. This holds during disconnects,
//     crashes and server restarts (TestSweep, TestSweepFindsAckFirst,
//     TestDivert, TestNotYetDiverted). If a message is too large for a copy, its
//     payload stays in its stream only (TestTooLargeToCopy).
//   - Duplication: a message is diverted once per consumer, at any time later
//     (TestDivertedOnce). It can be handled more than once, for example if the
//     ack is lost (TestRedelivered).
//   - Order: not promised. A message that failed is redelivered after later ones
//     (TestHandler).
//   - Delay: an invalid message delays the next one until it is copied, at most
//     10 s. If it cannot be copied, it is redelivered, and the others are
//     handled (TestNoInvalidStream, TestFull). After MaxAckPending such messages
//     no other is delivered (TestMaxAckPending).
//   - Retry: after an error or a panic of the handler, the message is
//     redelivered after 1 s, doubled each time, up to 1 min (TestHandler,
//     TestPanic). An error that wraps ErrPoison diverts it as it was stored
//     (TestHandlerChangesMessage). An error of the codec that the handler
//     returns does not (TestHandlersOwnErrors). A panic of the codec diverts it
//     (TestCodecPanics).
//   - Publishing: Publish refuses a value that the codec refuses (TestBadInput).
//     A message on another subject is invalid (TestOtherSubject).
//   - Correction: Correct stores a second message that names the first one. A
//     reader that ignores Corrects counts both (TestCorrect).
//   - Shutdown: after the end of its context, Guard naks messages with a delay
//     (TestContextEnded). The caller stops the consumer.
//   - Settings: streams that exist are compared, and changed by Provision only
//     (TestStreamsAreLeftAlone).
//
// # Limits
//
//   - AckWait must be longer than the handling of all prefetched messages, or
//     they are redelivered while they wait.
//   - The consumer must have no MaxDeliver (TestBadInput).
//   - MaxBytes limits each stream; 0 is unlimited. A full stream refuses
//     messages (TestFull).
//   - A message must fit max_payload (1 MB by default), and its headers 64 KiB
//     (TestTooLargeToCopy).
//   - A type name, a key and a consumer name are 1 to 64 of A-Z a-z 0-9 _ -
//     (TestBadInput).
//
// # When not to use it
//
//   - Messages of several types must keep one order: use one stream for all, and
//     decode by the format indicator of schema.
//   - Messages are not stored: a subscriber of core NATS drops what it cannot
//     read.
//
// # Related patterns
//
// schema is the codec. deadletter keeps messages that can be read and that fail
// again and again. idempotent makes a handler safe against duplicates. encrypt
// erases a message and its copies.
//
// # Also known as
//
// Datatype Channel, Invalid Message Channel (EIP); schema validation at the
// consumer, quarantine.
//
// # Kind
//
// Messaging
package datatype
