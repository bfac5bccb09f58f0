// Package sequence keeps messages that belong together in the order in which they
// were meant, however they come, and sends all of them or none.
//
// # Intent
//
// Let a reader rely on the order of a sequence, though its messages were sent by many, took different ways, or were tried again.
//
// # Forces
//
//   - A stream keeps the order in which messages came, which need not be the order meant.
//   - Whoever waits for a missing message holds up what follows; whoever does not, breaks the order.
//   - What is held must not be lost when the holder dies, nor fill its memory.
//
// # On NATS
//
// [Stamp] writes a sequence's id, a message's number and the mark of the last on
// headers; [Send] does so for a whole sequence and stores it by an atomic batch.
// A [Resequencer] consumes the shuffled stream and copies it, by number, to
// sequence.<name>.<id> in the stream SEQUENCE_<name>. It acknowledges a message once
// its copy is stored, so what it holds is the server's to give to another; and a copy
// is stored only if it follows the last one there (Nats-Expected-Last-Subject-Sequence),
// so that stream is its whole memory, and the fence against a second resequencer.
// Read it with any consumer. Needs NATS 2.12 for Send, 2.11 for the rest.
//
// # Guarantees
//
//   - Out of SEQUENCE_<name> each sequence comes in order, each message once, whatever
//     is cut, killed or restarted, and a gap only where Missing said Skip
//     (TestOrder, TestRepeats, TestOutage, TestSweep, TestSweepFindsTwins).
//   - Nothing is lost in the resequencer: what it holds, another goes on with, at once
//     after Run has ended, after 30s if it was killed (TestResume, TestSweep). Who skips
//     sooner than that skips what the killed one held (TestKilledAndSkipped).
//   - A gap is waited for as long as Patience, and up to a quarter more, before Missing
//     decides to wait, to skip, or to fail; other sequences do not wait (TestGap). Who
//     failed goes on where it stood (TestFailedGoesOn). What was skipped and comes
//     after all is dropped, and logged (TestSkippedIsLogged, TestGap/skip).
//   - No more than Room messages are held; what finds none is put back and comes again
//     after half of Patience (TestRoom, TestPutBack, TestFullAndOverdue). Two messages more than
//     65,536 apart cannot change places.
//   - Send stores all or none; sent again within the stream's window of duplicates, it
//     stores nothing (TestSend, TestAllOrNone).
//   - Two resequencers of one name keep the order, and neither skips what the other
//     can send, which it sees up to a quarter of Patience later (TestTwo, TestAnotherSends).
//   - A message without a position is terminated, which is logged and told by an
//     advisory; it stays in its stream (TestRefused).
//   - Between sequences there is no order: none waits for another (TestGap).
//
// # When not to use it
//
// If one publisher sends what belongs together, one after the other, the stream has
// the order already. If what matters is the order of changes to one thing, and not
// that numbers are complete, see perkey. SEQUENCE_<name> must keep the last message of
// a sequence as long as more of it may come.
//
// # Related patterns
//
// eventstore numbers the events of an entity as it stores them. queueing, and any
// redelivery, is where order gets lost.
//
// # Also known as
//
// Message Sequence, Resequencer (Hohpe and Woolf); reorder buffer.
package sequence
