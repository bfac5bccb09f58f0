// Package datapump brings rows into a database and results out of it, so that
// services share data without sharing a database, a driver, or SQL.
//
// # Intent
//
// Put one service in front of a database: a [Pump] that writes what arrives, and a
// [Reader] that answers named questions. All others know table and statement names.
//
// # Forces
//
//   - A write and its acknowledgement are two things. A process that dies between
//     them writes twice, or never.
//   - Databases are fast in batches, which one bad row spoils, and go down.
//   - A result may be larger than memory, and its reader slower than the database.
//   - What reaches a database as text is run by it.
//
// # On NATS
//
// [Write] stores a row, a JSON object, on shop.row.TABLE in the stream SHOP. A Pump
// reads on from the sequence that its store remembers, and moves that in the
// transaction that writes the rows: there are no acks, for the store is the only
// memory. A row that no store would take goes to shop.diverted.PUMP.SEQUENCE in the
// stream SHOP_DIVERTED, by a publish that succeeds once. [Query] asks on
// shop.query.STATEMENT, core NATS, where readers share a queue group; the result
// comes in chunks, each with a subject to allow another. The stores are [SQLite],
// [Postgres] by COPY, and [Bucket], a KV bucket by atomic batch.
//
// # Guarantees
//
//   - Each message takes effect once, in order, while lines are cut, servers restart,
//     pumps die or run twice, and the store fails before or after it commits
//     (TestFaults, TestSwallowed, TestConformance). The naive ways lose or double (TestFaultsTwins).
//   - A row that does not fit its table, or that the database refuses, is diverted
//     once, with its reason, and stays so; the others are written (TestConformance,
//     TestRefused, TestRefusedByPostgres, TestPump). Of rows of one batch with one key the last is written.
//   - While a store is down, or its tables are not as expected, nothing is lost or
//     diverted: the pump pauses, says so, and goes on (TestPump, TestDrift).
//   - Rows that leave the stream before they are written are lost, and counted
//     (TestPump). A stream that was replaced is not taken for the old one unless it has
//     grown past it (TestPump).
//   - How soon a row is written is not promised: rows wait while a store is down
//     (TestPump).
//   - A result is complete, or ends with an error (TestLost, TestResult, TestBucketCut), and its
//     numbers have all their digits (TestConformance, TestPostgresTypes). It is held back at the
//     store until the client takes it, and no cursor outlives its client for longer
//     than Config.Patience (TestResult).
//   - A SQL result is of one moment; a bucket's may hold rows written meanwhile, each
//     key once (TestBucketMoves).
//   - No SQL comes from the bus, and no name that the [Schema] does not have
//     (TestConformance).
//
// # When not to use it
//
// When a service owns its data, let it open its database. When the history matters,
// use eventstore, and a pump to fill read models. When a write must be refused in the
// caller's face, requestreply: here it is diverted later.
//
// # Related patterns
//
// eventstore keeps what happened, a pump what is; queueing is for work with other
// effects than rows; requestreply is for short answers.
//
// # Also known as
//
// Channel Adapter, Polling Consumer, the cure for Shared Database (EIP); sink
// connector, universal database driver, data access service.
package datapump
