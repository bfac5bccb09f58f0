// Package idempotent makes a message that is sent or delivered ten times take effect
// once, and says in which cases it cannot.
//
// # Intent
//
// Let sender and stream repeat themselves, which they must in order to lose nothing,
// and have the effect once all the same.
//
// # Forces
//
//   - Whoever hears no answer cannot tell whether the question or the answer was lost.
//   - Effect and record are two things; what is between them can be struck.
//   - A record of everything grows for ever; one that forgets lets the late through.
//
// # On NATS
//
// Three forms, by where the effect is. Stored in a stream: [Publisher] sends with a
// Nats-Msg-Id of subject and id, again and again until the answer comes, and the
// server drops what it has seen in the stream's Duplicates window. In a database:
// [TxReceiver] inserts the id in the table idempotent_done in the transaction of the
// effect. Anywhere else: [Receiver] claims the id in the bucket done-<name> by a
// Create whose TTL is the Lease, and updates it to done after the effect. The id is
// the sender's: one for each thing to be done, the same each time it is sent.
//
// # Guarantees
//
//   - Ten redeliveries, one effect: in all forms, one after the other or at once, by
//     one receiver or many, across restarts (TestConformance, TestAtOnce, TestPostgres).
//   - TxReceiver: what is done in its tx is done exactly once, wherever a worker dies,
//     a line is cut or a server restarts (TestCrash, TestSweep). What is done outside
//     of it is not.
//   - Receiver: at least once, and by one at a time as long as effects heed their ctx
//     (TestCrash). It is repeated only if a worker dies, or cannot reach the bucket
//     until its Lease ends, between effect and record; one that lives says ErrInDoubt,
//     and the delivery count tells the next (TestSweep, TestInDoubt, TestRecordOfAnother,
//     TestLeaseOfAFraction).
//   - Publisher: stored once for each id and subject, whatever is cut, if the stream
//     keeps it (TestPublishSweep, TestPublisher). An answer that does not come before
//     the window is nearly over is ErrInDoubt, and nothing is sent later (TestPublisher).
//   - Nothing is lost: an effect that failed, panicked or never began is free for the
//     next delivery (TestFailed, TestCrash). Delay: after a death, Receiver says
//     ErrBusy until the Lease ends, up to 2s more (TestFailed).
//   - What is kept is bounded, and at the bound the promise ends: a message that comes
//     again past Keep, or past the window, has its effect again (TestBound,
//     TestBoundKV). A stream that no longer has a message, such as a work queue after
//     the ack, forgets its id at a restart, inside the window too (TestPublisher).
//   - Not promised: content is not compared, what comes second under an id is dropped;
//     what the network held back past the window is stored again (TestPublisher). Nor is
//     order: each message is by itself (TestOrder).
//   - The naive ways lose or double under the same checks (TestCrash, TestSweepTwins).
//
// # When not to use it
//
// When the effect is idempotent by nature (set a value, upsert by key), or the one
// who does it takes an idempotency key: give it the id, and that is exactly once.
// When each id has a subject of its own, expect its last sequence to be 0, as
// eventstore does: that has no window. When messages come in order, a last sequence
// beside the data is a record of one row, as in datapump.
//
// # Related patterns
//
// queueing delivers at least once, and wants this in its handlers; eventstore refuses
// the second append.
//
// # Also known as
//
// Idempotent Receiver; deduplication, inbox, exactly-once processing, idempotency key.
package idempotent
