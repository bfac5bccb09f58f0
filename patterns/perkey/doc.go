// Package perkey applies the events of one key in order, and those of different keys at the same time.
//
// # Intent
//
// Let a listener be as fast as it has workers, though a withdrawal must not be applied before the deposit it draws on.
//
// # Forces
//
//   - Order is needed between the events of one resource, seldom between resources.
//   - Competing workers lose the order; one last event that all of them share keeps
//     it, and leaves one of them working.
//   - A stream keeps the order in which events came, which several publishers, a
//     redelivery or the death of a reader change.
//   - What is held back until its turn must not hold back others, nor fill the memory.
//
// # On NATS
//
// The owner of a resource gives each of its events a version: 1, 2, 3. [Publish] stores
// it on perkey.<topic>.<key> in the stream PERKEY_<topic>; a subject transform,
// partition(n), makes that perkey.<topic>.<partition>.<key>. A [Dispatcher] reads
// partitions by a durable consumer each, in a priority group with a pinned client: of
// the processes that ask, one reads, until it has not asked for Takeover. It hands the
// event after the last one of a key, as the [Ledger] says which that is, to any free
// worker, and acknowledges it when it is applied. What is early is held; what is
// missing is waited for, then asked for. Needs NATS 2.11.
//
// # Guarantees
//
//   - The events of a key are applied in the order of their versions, one at a time in
//     a process, however they come and whatever fails (TestEveryInterleaving,
//     TestEveryInterleavingFindsTwin, TestWithoutVersions).
//   - Each has its effect once, whatever is cut, killed or restarted, and however often
//     it is published, if the Ledger keeps to its contract (TestSweep,
//     TestSweepFindsTwin, TestTwice). Of two events with one version one counts.
//   - Different keys do not wait for one another: Workers of them are worked on at a time
//     (TestSharedSerialises). What fails or is missing holds back its own key only, for as
//     long as it lasts (TestFailedHoldsBack, TestGap); all of its partition, when 65,536
//     events of that wait (TestReach).
//   - A missing event is asked for after Patience, and again; until it comes nothing
//     later of its key is applied. None is skipped (TestGap).
//   - No more than Room events are held, half of them waiting for another, beside what
//     Missing returns (TestAskedFails); what finds no room comes again after Patience
//     (TestRoom). A key that gets more than its share can fill the other half.
//   - A key is always in the same partition, and of those that read it one is active
//     (TestPartitions). When it ends the next goes on at once, when it dies after Takeover
//     (TestTakeover), and beside it when it has no room for so long (TestOutOfRoom). A late
//     one may come with an event in hand: the Ledger refuses it (TestTakeover/paused_for_long).
//   - Told to stop, Run finishes what is in hand, within Grace, and puts back the rest
//     (TestStop). It returns an error if its consumers are gone (TestEnds).
//   - A message without a version is terminated, which is logged and told by an
//     advisory (TestRefused).
//   - Between keys there is no order (TestSharedSerialises).
//
// # When not to use it
//
// If the result does not depend on the order, take a queue (see queueing). If one key has most of the events, they take their turn whatever you do.
// If messages belong together and only the whole counts, see sequence.
//
// # Related patterns
//
// eventstore gives versions and keeps them without gaps; outbox publishes what a
// database has changed; idempotent is for effects without a version.
//
// # Also known as
//
// Message Dispatcher (Hohpe and Woolf); partitioned consumer, sticky or keyed workers,
// message groups, exclusive consumer.
package perkey
