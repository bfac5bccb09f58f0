// Package idempotent deduplicates messages: a message that is published or
// delivered several times takes effect once.
//
// # Intent
//
// Let publishers retry and streams redeliver, which they must do to lose
// nothing. Apply the effect of each message once.
//
// # Forces
//
//   - A client that receives no reply cannot know whether the request or the
//     reply was lost.
//   - The effect and the record of it are two writes. A process can crash
//     between them.
//   - A record of every message grows without limit. A record that expires
//     does not detect a late duplicate.
//
// # On NATS
//
// The place of the effect decides the form. If the effect is a stored message,
// a [Publisher] publishes it with a Nats-Msg-Id, made of subject and ID, and
// retries until the server replies. The server drops duplicates in the
// duplicate window of the stream.
//
// If the effect is in a database, a [TxReceiver] inserts the ID into the table
// idempotent_done, in the transaction of the effect.
//
// If the effect is anywhere else, a [Receiver] claims the ID in the bucket
// done-<name>: a create, which fails if the key exists. The claim expires after
// the Lease, so that a crashed receiver does not block the message. After the
// effect the receiver updates the claim to a record, which expires after
// MaxAge.
//
// The ID comes from the publisher: one for each intended effect, the same in
// every retry. The package needs nats-server 2.11 (a time to live for each
// message).
//
// # Guarantees
//
//   - Duplication: ten redeliveries have one effect, one after the other or
//     concurrently, with one receiver or many, and after a restart
//     (TestConformance, TestAtOnce, TestPostgres, TestCluster).
//   - Duplication in a transaction: a TxReceiver has exactly one effect during
//     crashes, disconnects and server restarts (TestCrash, TestSweep). This
//     covers what the effect writes with its tx, and nothing else.
//   - Duplication with a bucket: a Receiver repeats an effect only if a
//     receiver crashed, or lost the bucket until its Lease ended, between
//     effect and record. A receiver that runs returns [ErrInDoubt] then
//     (TestSweep, TestInDoubt, TestRecordOfAnother).
//   - Duplication on publish: a Publisher stores a message once for each ID and
//     subject, if the stream still has the first one (TestPublishSweep). If no
//     reply arrives in the window, Publish returns ErrInDoubt and publishes
//     nothing later (TestPublisher).
//   - Concurrency: a message is claimed by one Receiver at a time, if effects
//     end with their ctx (TestCrash, TestLeaseOfAFraction). Another one returns
//     [ErrBusy] (TestFailed).
//   - Loss: none. After an effect that failed, panicked or did not begin, the
//     message is free for a retry (TestFailed, TestCrash).
//   - Delay: after a crash or a panic, a Receiver returns ErrBusy until the
//     Lease has ended, and up to 2 s longer (TestFailed).
//   - Order: not promised. Messages are independent: a retry follows later
//     messages (TestOrder).
//   - Retention: a message that is redelivered after MaxAge, or published again
//     after the window, has its effect again (TestBound, TestBoundKV).
//   - Mutants: the common wrong ways lose or duplicate effects under the same
//     tests (TestCrash, TestSweepMutants).
//
// # Limits
//
//   - The content is not compared: a second message with the same ID is dropped
//     (TestPublisher).
//   - A stream that restarts forgets the IDs of messages that it no longer has,
//     such as acknowledged messages of a work queue (TestPublisher).
//   - A message that the network delays past the window is stored again
//     (TestPublisher).
//   - An effect that panics makes Once panic. A TxReceiver rolls back. The
//     claim of a Receiver stays until the Lease ends (TestFailed).
//   - An effect must end with its ctx. After the Lease another receiver can
//     claim the message.
//   - The bucket has no size limit unless MaxBytes is set. If it is full, Once
//     returns an error, and no effect is called (TestFull). The table has no
//     size limit. Each Once of a Receiver costs two writes.
//   - The payload of a published message must fit max_payload (1 MB by
//     default). Otherwise Publish returns nats.ErrMaxPayload (TestBadMessage).
//   - A name and an ID are 1 to 64 of A-Z a-z 0-9 _ - (TestBadInput).
//
// # When not to use it
//
//   - The effect is idempotent by nature, such as setting a value or an upsert
//     by key: repeat it.
//   - The service that applies the effect accepts an idempotency key: pass the
//     ID to it.
//   - Each ID has a subject of its own: publish with an expected last sequence
//     of 0, as eventstore does. That has no window.
//   - Messages arrive in order: store the last sequence beside the data, as
//     datapump does.
//
// # Related patterns
//
// queueing delivers at least once, so its handlers need this pattern. outbox
// publishes from a transaction. eventstore rejects a second append.
//
// # Also known as
//
// Idempotent Receiver (EIP); deduplication, inbox, idempotency key,
// exactly-once processing.
//
// # Kind
//
// Delivery
package idempotent
