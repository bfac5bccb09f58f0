// Package eventstore remembers everything that happened to an entity, refuses to
// add what was decided on old knowledge, and tells whoever wants to know: all
// with one write.
//
// # Intent
//
// Keep the history of each of many entities, to be rebuilt, resumed and followed,
// so that what is stored and what is announced are the same thing.
//
// # Forces
//
//   - Two who decide on the same state must not both succeed.
//   - A database and a message about it are two writes, and a process can die
//     between them.
//   - An acknowledgement can be lost. Whoever tries again must not do it twice.
//   - A history only grows; the law may still demand that a person be forgotten.
//
// # On NATS
//
// A stream keeps each event on a subject of its own, accounts.event.ann.3.paid: the
// server finds those by its index, at one cost in a store of any size, and filters
// a [Feed] by entity and type. [Store.Append] is a publish on condition that the
// last event under accounts.event.ann.> is the one decided on; several events are an
// atomic batch. The header Event-Id is what a retry is known by. [Store.Load] is a
// direct get of the entity's subjects, with no consumer. A snapshot replaces the one
// before on accounts.snapshot.ann, on the same condition. The stored message is the
// notice: a [Subscription] is a consumer. Needs nats-server 2.12; made with 2.15.
//
// # Guarantees
//
//   - All events of an Append are stored, or none (TestConformance, TestFull). Of
//     those who decided on the same version one succeeds; the others are told the
//     actual one by a [Conflict] (TestConformance).
//   - What was acknowledged is neither lost nor doubled and versions have no gaps,
//     while lines are cut and servers restart (TestFaults, TestCluster). A power cut
//     is between the server and its disk: set its sync_interval to always.
//   - The same events at the same version are stored once, whenever retried; there
//     is no window of time (TestLostAck).
//   - Hundreds of appends at once all succeed, though the server takes only fifty
//     batches at a time (TestConformance).
//   - Load has no holes, and one made by hand is an error (TestGap). It may end before
//     the latest event (TestStale), as any replica answers: Append decides, never a read.
//   - A Subscription misses nothing and keeps the order of the stream (TestFaults,
//     TestFeedGoesOn). A durable one is told of one event at a time, so that nothing
//     overtakes an event tried again (TestHandler), and may be told twice
//     (TestDiesWithAnEvent).
//   - After [Store.Erase] only a tombstone is left, and no late append or snapshot
//     brings anything back (TestConformance).
//   - No call waits for an answer longer than its context lasts, or than ten seconds
//     if that has no deadline, and what is lost is asked again (TestLostAnswer).
//   - How soon a notice comes is not promised: after a cut, when the line is back
//     (TestFeedGoesOn).
//
// # When not to use it
//
// For an entity with more than ten thousand events: the condition costs the server a
// look at each, 0.05ms for ten, 1ms for ten thousand. Close it and open the next,
// account-2027, with what is carried over. For state whose past nobody asks for, use
// a KV bucket. Where many decide on one entity at once, put a queue in front.
//
// # Related patterns
//
// pubsub announces without remembering; datapump brings events into databases;
// streaming computes from them.
//
// # Also known as
//
// Message Store (EIP), event log, journal, ledger, append-only store. Event sourcing
// is a use of one: the events are the only state there is.
package eventstore
