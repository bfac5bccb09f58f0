// Package sequence reorders the messages of a sequence by their numbers, and
// sends all messages of a sequence or none.
//
// # Intent
//
// Let a consumer receive the messages of a sequence in their order, although
// several publishers, several routes or a retry changed the order.
//
// # Forces
//
//   - A stream keeps the order of arrival, which can differ from the order of the
//     sequence.
//   - A consumer that waits for a missing message delays what follows. A consumer
//     that does not wait breaks the order.
//   - Held messages must survive a crash, and must not fill the memory.
//
// # On NATS
//
// [Stamp] writes the ID of a sequence, the number of a message and the mark of
// the last one to headers. [Send] does that for a whole sequence, and publishes
// it as one atomic batch.
//
// A [Resequencer] consumes the input stream with the durable consumer
// sequence-<name>. It copies each message in order to sequence.<name>.<id> in the
// output stream SEQUENCE_<name>. It acknowledges a message after its copy is
// stored, so a crash loses nothing. A copy is stored only if it follows the last
// one of its sequence (Nats-Expected-Last-Subject-Sequence). So the output stream
// is the whole state, and fences a second resequencer. Any consumer can read it.
//
// The package uses JetStream, because held messages must survive a crash. Send
// needs nats-server 2.12 (atomic batch publish), the rest 2.11.
//
// # Guarantees
//
//   - Order: the output stream has the messages of a sequence in order, during
//     disconnects, crashes and server restarts (TestOrder, TestOutage, TestSweep,
//     TestSweepFindsMutants). Between sequences there is no order: none waits for
//     another (TestGap).
//   - Loss: no message is lost. A gap is only where Missing returned Skip
//     (TestSweep, TestGap). A skipped message that arrives later is dropped and
//     logged (TestSkippedIsLogged). A Skip earlier than AckWait after a crash
//     skips messages that the crashed process held (TestKilledAndSkipped).
//   - Duplication: each message is stored once (TestRepeats, TestSweep,
//     TestStoredLate).
//   - Delay: not promised. A gap delays its sequence as long as it lasts, if
//     Missing is nil (TestGap/wait). The messages of a crashed process are
//     redelivered after AckWait (TestKilledAndSkipped).
//   - Gaps: Missing is called after GapTimeout, at most a quarter later
//     (TestGap). A panic of Missing counts as Wait (TestMissingPanics). After
//     Fail, another run continues at the same message (TestFailedGoesOn).
//   - Memory: at most Buffer messages are held. An evicted message is redelivered
//     after half of GapTimeout (TestBuffer, TestEvicted, TestFullAndOverdue).
//   - Atomicity: Send stores all messages or none. A retry within the duplicate
//     window stores nothing (TestSend, TestAllOrNone).
//   - Concurrency: two resequencers with one name keep the order. Neither skips
//     what the other one can publish, but each notices it up to a quarter of
//     GapTimeout later (TestTwoResequencers, TestAnotherPublishes).
//   - Shutdown: Run finishes the publish in progress within Grace, and naks the
//     rest (TestGrace, TestStopDisconnected). The next run continues at once
//     (TestResume, TestPrefetched). Run returns an error if it cannot continue
//     (TestRunEnds, TestRunEndsLater).
//   - Validation: a message without a position is terminated and stays in its
//     stream. That is logged, and the server publishes an advisory
//     (TestNoPosition).
//
// # Limits
//
//   - A resequencer publishes one message at a time. Each costs a round trip.
//   - At most 65,536 messages are unacknowledged. Two messages that are further
//     apart cannot be reordered.
//   - SEQUENCE_<name> must keep the last message of a sequence while more of it
//     can arrive. The stream has no MaxAge, and a purge must keep that message.
//   - MaxBytes 0 is unlimited. When the output stream is full, Run waits
//     (TestOutputFull).
//   - A message with its headers must fit max_payload, 1 MB by default
//     (TestLargest). Run returns an error if the output stream refuses a message
//     (TestRunEndsLater).
//   - Send takes at most 1,000 messages (TestBadInput). The server allows 50 open
//     batches per stream.
//   - A stream name, a resequencer name and a sequence ID are 1 to 64 of A-Z a-z
//     0-9 _ - (TestBadInput).
//
// # When not to use it
//
//   - One publisher sends the messages one after the other: the stream has the
//     order.
//   - The order of changes of one key counts: use perkey.
//
// # Related patterns
//
// eventstore numbers the events of an entity when it stores them. queueing and
// every redelivery can change the order.
//
// # Also known as
//
// Message Sequence, Resequencer (EIP); reorder buffer.
//
// # Kind
//
// Streams
package sequence
