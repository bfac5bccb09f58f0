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
//     between them: eleven times in a thousand changes, of those it dies in
//     (TestDualWrite).
//   - An acknowledgement can be lost. Whoever tries again must not do it twice.
//   - A history only grows; the law may still demand that a person be forgotten.
//
// # On NATS
//
// A stream keeps every event on a subject of its own, accounts.event.ann.3.paid:
// the server finds those by its index, at the same cost in a store of any size, and
// filters a [Feed] by entity and type. [Store.Append] is a publish on the condition
// that the last event under accounts.event.ann.> is the one decided on; several
// events are an atomic batch, with the condition on the first. The header Event-Id
// is what a retry is known by. [Store.Load] asks for the last message of each of the
// entity's subjects by direct get, with no consumer. A snapshot replaces the one
// before on accounts.snapshot.ann, on the same condition. The stored event is the
// notice: a [Subscription] is a consumer. It needs nats-server 2.12.
//
// # Guarantees
//
//   - All events of an Append are stored, or none (TestConformance, TestFull), and
//     of those who decided on the same version one succeeds; the others are told
//     the actual one by a [Conflict] (TestConformance).
//   - What was acknowledged is not lost, not doubled, and its versions have no gaps,
//     while lines are cut and the server restarts (TestFaults); on a cluster, while
//     its leader is lost (TestCluster). Before a power cut an R1 store may
//     have acknowledged what is not yet on disk: that is the server's sync_interval.
//   - The same events at the same version are stored once, whenever retried, with no
//     window of time (TestLostAck).
//   - Three hundred appends at once all succeed, though the server takes fifty
//     batches at a time (TestConformance).
//   - Load has no holes; one made by hand is an error (TestGap). It may end before
//     the latest event, as any replica answers: Append decides, never a read.
//   - A Subscription misses nothing and keeps the order of the stream, whatever is
//     cut (TestFaults, TestFeedGoesOn). A durable one may be told twice, when an
//     acknowledgement is lost (TestDiesWithAnEvent), and one event at a time, so
//     that nothing overtakes an event tried again (TestHandler).
//   - After [Store.Erase] the entity's events and snapshot are gone, a tombstone
//     stays, and no late append or snapshot brings them back (TestConformance).
//   - Time from append to notice is not promised.
//
// # When not to use it
//
// For an entity with more than ten thousand events: a condition costs the server a
// look at each, 45µs for ten, 0.25ms for a thousand, 1ms for ten thousand. End it,
// and begin a new one with what was carried over: account-2026. For state whose
// past nobody asks for, use a KV bucket. For events of one entity decided by many
// at once, where each would conflict, use a queue in front.
//
// # Related patterns
//
// pubsub announces without remembering; datapump writes to databases, each message
// once; streaming follows a store to compute.
//
// # Also known as
//
// Message Store (EIP), event log, append-only log, journal, ledger. Event sourcing
// is what to do with one: to make the events the only state there is.
package eventstore
