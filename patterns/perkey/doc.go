// Package perkey applies the events of one key in order, and the events of
// different keys at the same time.
//
// # Intent
//
// Apply events with many workers, although a withdrawal must not be applied
// before the deposit that it needs.
//
// # Forces
//
//   - The events of one resource need an order. The events of different
//     resources seldom do.
//   - Competing consumers lose the order. One version for all events keeps it,
//     but then one worker does all the work.
//   - A stream keeps the order of arrival. Several publishers, a redelivery or a
//     crash change that order.
//   - An event that waits for its turn must not delay other keys, and must not
//     fill the memory.
//
// # On NATS
//
// The owner of a resource gives each of its events a version: 1, 2, 3.
// [Publish] publishes to perkey.<topic>.<key>. The stream PERKEY_<topic> stores
// perkey.<topic>.<partition>.<key> by a subject transform with partition(n).
//
// A [Dispatcher] reads each partition with a durable consumer,
// <service>-<partition>. Its priority group has a pinned client: one process
// reads, and the others are standbys. The [Ledger] returns the last version of a
// key. The dispatcher gives the next event to any free worker, and acknowledges
// it after it is applied. It holds an early event in memory and keeps it in
// progress.
//
// The package uses JetStream, because an event must survive a crash. It needs
// nats-server 2.11 (pinned clients).
//
// # Guarantees
//
//   - Order: the events of a key are applied in the order of their versions, one
//     at a time, in every order of arrival and with every failure
//     (TestEveryInterleaving, TestEveryInterleavingFindsMutant,
//     TestWithoutVersions). Between keys there is no order
//     (TestSharedSerialises).
//   - Loss: no event that Publish confirmed is lost, during disconnects, crashes
//     and server restarts (TestSweep, TestSweepFindsMutant). No event is skipped
//     (TestGap).
//   - Duplication: each event has its effect once, also if it is published or
//     redelivered again, if the Ledger keeps its contract (TestSweep,
//     TestDuplicates).
//   - Delay: not promised. A missing or failing event delays the later events of
//     its key as long as it lasts (TestGap, TestFailedHoldsBack). It delays
//     other keys only when 65,536 events of its partition wait
//     (TestMaxAckPending).
//   - Concurrency: Concurrency keys are processed at the same time
//     (TestSharedSerialises).
//   - Retry: a failed event is retried after Backoff, which doubles up to 10 s
//     (TestFailedHoldsBack, TestBackoffStartsAgain). A panic is a failure
//     (TestPanic).
//   - Missing events: Missing is called after GapTimeout, and again (TestGap,
//     TestSecondGap). It may return some events, in any order
//     (TestMissingInAnyOrder, TestMissingFails).
//   - Memory: at most Buffer events are held, at most half of them in keys that
//     wait. An evicted event is redelivered after GapTimeout (TestBuffer).
//   - Partitions: a key stays in its partition, and one process reads it
//     (TestPartitions). A standby takes over at once after a stop, and after
//     Takeover after a crash (TestTakeover). The Ledger refuses an event from a
//     process that was paused for longer (TestTakeover/paused_for_long).
//   - Shutdown: Run finishes the running Apply calls within Grace, and naks the
//     rest (TestStop, TestStopFull). If a call lasts longer, all are redelivered
//     after Takeover (TestGraceIgnored). Run returns an error if a consumer is
//     gone (TestRunEnds).
//   - Validation: a message without a version is terminated. That is logged, and
//     the server publishes an advisory (TestNoVersion).
//
// # Limits
//
//   - Of two different events with one version, one is applied. The stream or
//     the dispatcher drops the other one as a duplicate.
//   - There is no poison event: the later versions depend on it. To skip an event,
//     Apply stores its version without an effect.
//   - The events that Missing returns are applied by one worker and do not count
//     in Buffer.
//   - A process whose buffer is full for Takeover sends no pull request. A
//     standby then reads the partition beside it (TestBufferFull).
//   - Each partition needs a consumer per service. A stream with more than 1,000
//     consumers is slow, and Partitions is at most 1,000.
//   - The stream has no MaxAge: applied events stay until an operator purges
//     them. MaxBytes 0 is unlimited. When the stream is full, Publish fails
//     (TestStreamFull).
//   - An event with its headers must fit max_payload (1 MB by default).
//   - A topic, a service and a key are 1 to 64 of A-Z a-z 0-9 _ - (TestBadInput).
//   - A handler must return when its context ends: Run waits for it.
//
// # When not to use it
//
//   - The result does not depend on the order: use queueing.
//   - Most events belong to one key: they are applied one after the other.
//   - The messages of a group only count together: use sequence.
//
// # Related patterns
//
// eventstore assigns versions without gaps. outbox publishes the changes of a
// database. idempotent makes an effect without a version safe.
//
// # Also known as
//
// Message Dispatcher (EIP); partitioned consumer, keyed workers, message groups,
// exclusive consumer.
//
// # Kind
//
// Delivery
package perkey
