// Package outbox publishes messages that were inserted in a database transaction:
// if the transaction commits, and only then, even if the process crashes.
//
// # Intent
//
// Change a database and publish a message about the change, both or neither. No
// transaction spans the database and the broker.
//
// # Forces
//
//   - A process can crash between two writes: then only one of them happened.
//   - A process that publishes later must keep the order, and must not publish
//     twice.
//   - Polling a table often costs the database; polling it rarely costs time.
//
// # On NATS
//
// [Put] inserts the message into the table outbox, in the business transaction. A
// [Relay] reads the table, publishes to JetStream with the Nats-Msg-Id of the
// message, and deletes the row after the ack. If it crashes in between, the next
// relay publishes again, and the stream drops the duplicate. One message of a key
// is in flight at a time, and many keys are in flight together. [Notify] publishes
// to outbox.<name>.notify after the commit; if that is lost, the relay polls.
//
// [Take] is the inbox, for the consumer: it records the message ID in the
// transaction of the effect. The SQL is the same for SQLite and PostgreSQL except
// for the tables, [SQLite] and [Postgres], which belong into your migrations.
// Create js with jetstream.WithPublishAsyncTimeout. The package needs nats-server
// 2.10, for JetStream only.
//
// # Guarantees
//
//   - Atomicity: a message is published if its transaction commits, with its
//     subject, headers and payload, and never if it is rolled back (TestRelay,
//     TestDualWrite).
//   - Loss: none, at every step of a relay that crashes, and during disconnects and
//     server restarts (TestCrash, TestSweep, TestSlow).
//   - Duplication: a message is stored once within the duplicate window of the
//     stream (TestCrash, TestSweep), and also after it if a relay was disconnected
//     (TestDisconnected). A relay that stops marks what it has published
//     (TestStop). If a relay crashes, and the next one starts after the window, the
//     message is stored twice with one ID (TestBeyondWindow). [Take] makes it take
//     effect once, until Clean deletes the record (TestInbox).
//   - Order: the messages of one key are published in the order of their Put, also
//     with two relays (TestOrder, TestTwoRelays, TestSweep). Transactions that
//     overlap have no order, and none of their messages is missed or overtaken
//     (TestLateCommit, TestLateCommitInBatch).
//   - Isolation: a message that cannot be published blocks its key and no other. It
//     is logged once for each poll (TestBlocked, TestBlockedOnce, TestCorruptRow).
//   - Delay: a message is published at once after Notify, and otherwise within Poll
//     (TestNotify).
//   - Retention: a published row is deleted at once, or after MaxAge (TestMaxAge).
//
// # Limits
//
//   - A blocked key stays blocked until a person corrects or deletes the row.
//   - Put does not check max_payload: the relay may connect to another server.
//   - Batch is at most 2,048 rows (TestBadInput).
//   - The key, the ID, the subject and the headers are UTF-8 (TestBadInput).
//   - The inbox grows until Clean is called.
//
// # When not to use it
//
//   - The event is the state: append it to an eventstore, which also delivers it.
//   - The code that changes the database cannot be changed: read the database's
//     log (change data capture).
//
// # Related patterns
//
// idempotent has more forms of an idempotent receiver. eventstore shows the dual
// write from the other side. datapump writes messages to databases.
//
// # Also known as
//
// Transactional Outbox, Polling Publisher, Message Relay, Application Events;
// Transactional Client (EIP).
//
// # Kind
//
// Borders
package outbox
