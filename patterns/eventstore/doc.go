// Package eventstore appends events to the history of an entity with optimistic
// concurrency, and delivers each stored event to subscribers.
//
// # Intent
//
// Store every change of an entity as an event. Rebuild the state of the entity
// from its events. Publish each event with the write that stores it.
//
// # Forces
//
//   - Two processes that decide on the same state must not both succeed.
//   - A database write and a message about it are two writes. A process can
//     crash between them.
//   - An ack can be lost. A retry must not store the events a second time.
//   - A history only grows, but a person has the right to have personal data
//     erased.
//
// # On NATS
//
// One stream stores all entities of a kind. Each event has its own subject, for
// example accounts.event.ann.3.paid, so the server finds it by its subject
// index. The header Event-Id identifies an event when it is retried.
//
// [Store.Append] publishes with an expected last sequence for
// accounts.event.ann.>, so the server rejects an append at an old version.
// Several events are one atomic batch. [Store.Load] reads the subjects of the
// entity with a batch direct get and needs no consumer. [Store.SaveSnapshot]
// replaces the message on accounts.snapshot.ann under the same condition. A
// [Subscription] is a consumer of the stream, filtered by entity and event
// type.
//
// The package needs nats-server 2.12 (atomic batch publish) and is tested with
// 2.15.
//
// # Guarantees
//
//   - Atomicity: all events of an Append are stored, or none (TestConformance,
//     TestFull).
//   - Concurrency: of concurrent appends at the same version exactly one
//     succeeds. Each other one returns a *[Conflict] with the actual version
//     (TestConformance).
//   - Loss and duplication: an acknowledged event is stored once, and versions
//     have no gaps, during disconnects and server restarts (TestFaults,
//     TestCluster). A power failure can lose acknowledged events unless the
//     server runs with sync_interval: always.
//   - Retry: the same events at the same version are stored once, at any time
//     later. This does not depend on a duplicates window (TestLostAck).
//   - Load: it returns no history with a gap: a lost part of a reply is read
//     again (TestIncompleteReply), and a gap made by an operator is an error
//     (TestGap). It may miss the latest events, because any replica can reply
//     (TestStale). Append detects that.
//   - Delivery and order: a Subscription receives every event in stream order,
//     also across restarts (TestFaults, TestFeedGoesOn, TestNewMissesNone). A
//     durable Subscription handles one event at a time and retries it before
//     the next one, also after a panic (TestHandler). It can receive an event
//     twice (TestDiesWithAnEvent).
//   - Poison: an event whose handler returns ErrPoison is logged and skipped.
//     It stays in the stream (TestHandler).
//   - Shutdown: Run ends with its context. A Handler gets Grace to finish, and
//     after that its event is redelivered (TestGrace, TestGraceIgnored). Run
//     returns an error if it cannot continue (TestRunEnds, TestRunEndsLater).
//   - Delay: not promised. After a disconnect, events arrive when the client
//     has reconnected (TestFeedGoesOn).
//   - Erasure: after [Store.Erase] the stream holds only a tombstone of the
//     entity. Late appends and snapshots are rejected (TestConformance).
//   - Deadlines: every call ends with its context, or after 10 s if the context
//     has no deadline (TestDeadline). Requests whose reply was lost are retried
//     (TestLostAnswer).
//
// # Limits
//
//   - One Append takes at most 1,000 events, and each event must fit
//     max_payload with its headers (TestBadInput).
//   - Append recognizes a retry by the ID of its last event, so an ID must name
//     one event only.
//   - The server allows 50 open batches per stream. Append retries when it is
//     rejected for that reason, so hundreds of concurrent appends succeed
//     (TestConformance).
//   - The cost of an Append grows with the history: about 0.05 ms at ten events
//     and 1 ms at ten thousand (BenchmarkLongHistory).
//   - MaxBytes is unlimited if zero. The stream uses discard: new. When it is
//     full, Append fails, and no stored event is removed (TestFull).
//   - Load of an entity with more than 1,024 events scans the stream: about
//     20 ms for each 256 events in a stream of a million events
//     (BenchmarkLoadLong).
//   - While the server does not reply, Run of a live Subscription can outlive
//     its context: the ordered consumer of nats.go retries until it is
//     recreated.
//   - Each Subscription is a consumer. A server is made for about 1,000
//     consumers of a stream.
//   - Erase does not reach mirrors, backups and the databases of subscribers.
//   - An entity name, an event ID and a type are 1 to 64 of A-Z a-z 0-9 _ -
//     (TestBadInput).
//
// # When not to use it
//
//   - An entity has more than ten thousand events: close it and continue in a
//     new entity, for example account-2027, with the balance carried over.
//   - The history has no value: use a KV bucket.
//   - Many processes write to one entity at once: send their commands through
//     queueing to one worker per entity.
//
// # Related patterns
//
// pubsub publishes events without storing them. datapump writes events to
// databases. streaming computes results from events. outbox publishes events of
// a database that stays the system of record.
//
// # Also known as
//
// Message Store (EIP), event log, journal, append-only store. Event sourcing is
// an application of it, in which the events are the only state.
//
// # Kind
//
// State
package eventstore
