// Package outbox publishes what a database transaction has decided: if it commits, and
// only then, however the process dies.
//
// # Intent
//
// Change the database and tell others of it, both or neither, though no transaction spans a database and a broker.
//
// # Forces
//
//   - Two writes one after the other are one write when the process dies between them.
//   - Whoever publishes later must not change the order, nor publish twice.
//   - A table that is asked all the time costs the database; one that is asked seldom costs time.
//
// # On NATS
//
// [Put] writes the message into the table outbox, in the business transaction. A
// [Relay] reads the table, publishes to JetStream with the message's Nats-Msg-Id, and
// deletes a row once its message is stored: killed in between, the next relay publishes
// again, and the stream knows the id. Of one key it has one message under way, of many
// keys many. [Wake], a plain message, tells it of a commit; it polls in case that is
// lost. [Take] is the inbox, the mirror: a reader notes the id in the transaction of its
// own effect. SQL is the same for SQLite and PostgreSQL but for the tables, [SQLite] and
// [Postgres], which your migrations create. Make js WithPublishAsyncTimeout.
//
// # Guarantees
//
//   - What is committed is published, with subject, headers and body as put; what is
//     rolled back is not (TestRelay, TestDualWrite).
//   - Whatever is cut, killed, restarted or slow, at each step of the relay, nothing is
//     lost, and nothing is stored twice within the stream's window of duplicates
//     (TestKilled, TestSweep, TestSlow), nor past it by a relay that was cut off and is back
//     (TestCutOff). Stopped, the relay notes what it has published (TestStop).
//   - Beyond the window it may be stored twice, with one id (TestBeyondWindow); an inbox
//     makes one effect of that, and of ten deliveries (TestInbox), until it is cleaned.
//   - Of one key, messages are published in the order in which they were put, also by
//     two relays at once (TestOrder, TestTwoRelays, TestSweep). Transactions that run at
//     the same time have no order, and none is missed or overtaken for that
//     (TestLateCommit, TestLateCommitInPass).
//   - A message that no stream takes, that is too large, or whose row is spoilt, holds up
//     its key and no other, and is logged at each try (TestStuck, TestSpoilt). It is for a
//     person to correct or delete the row.
//   - Woken, the relay publishes at once; if that is lost, within Poll (TestWake).
//   - What was published is deleted at once, or after Keep (TestKeep).
//
// # When not to use it
//
// If the event is the state, write it once, to an eventstore: its stored message is the
// notice. If what changes the database cannot be changed, read its log instead.
//
// # Related patterns
//
// idempotent has more forms of receiver. eventstore shows the dual write from the other
// side. datapump writes to databases.
//
// # Also known as
//
// Transactional Outbox, Transactional Client (Hohpe and Woolf), Polling Publisher,
// Message Relay, Application Events.
package outbox
