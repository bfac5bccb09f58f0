// Package datapump writes rows from a stream to the tables of a SQL database, so
// that services store data without a database driver, a password or SQL.
//
// # Intent
//
// Put one service in front of a database: a [Pump] that writes the rows that
// other services publish. They know the names of tables and columns only.
//
// # Forces
//
//   - The write to the database and the acknowledgement of a message are two
//     steps. A process that crashes between them writes twice, or never.
//   - A database is fast in batches, but one invalid row fails its batch.
//   - A database is sometimes unavailable. Its clients must not wait for it.
//   - A text that becomes part of SQL can be an attack.
//
// # On NATS
//
// [Write] publishes a row, a JSON object, to shop.row.TABLE in the stream SHOP.
// A Pump reads the stream with an ephemeral consumer without acks. It starts
// after the position, the sequence that its store keeps for the ID of the pump.
// One transaction writes a batch of rows and moves the position. The pump
// publishes an invalid row to shop.rejected.PUMP.SEQUENCE in the stream
// SHOP_REJECTED, with the reason in the header Pump-Reason. That publish
// expects last sequence 0 for its subject, so it succeeds once.
//
// The stores are [SQLite] and [Postgres]. For another database, implement
// [Store] and test it with package storetest. The package is tested with
// nats-server 2.15.
//
// # Guarantees
//
//   - Loss and duplication: each row that Write confirmed is written once, or
//     is rejected once, during disconnects, server restarts, crashes, and
//     failures of the store before and after a commit (TestFaults,
//     TestDisconnect, TestLostMessage, TestConformance). A store that moves the
//     position in another transaction loses or duplicates rows
//     (TestFaultsMutants).
//   - Loss: rows that are removed from the stream before they are written are
//     lost. The pump counts them in State.Missed (TestPump).
//   - Order: rows are written in stream order. Of rows of one batch with one key
//     the last is stored (TestConformance, TestStores).
//   - Delay: not promised. Rows wait in the stream while the store fails
//     (TestPump).
//   - Rejection: a row that does not fit its table, or that the database
//     refuses, is stored once in the stream of rejected rows, with its headers
//     and payload. It stays rejected, and the rows around it are written
//     (TestConformance, TestRefused, TestRefusedByPostgres, TestPump).
//   - Unavailability: while the store fails, or a table is not as expected, no
//     row is lost or rejected. The pump retries with backoff (TestPump,
//     TestDrift).
//   - Concurrency: of two pumps with one ID, each row is written by one
//     (TestConformance, TestStores).
//   - Recreation: if the position is past the end of the stream, Run returns
//     ErrRecreated (TestPump).
//   - Injection: no text of a message becomes SQL (TestConformance).
//   - Shutdown: Run finishes its batch, and cancels the transaction after Grace
//     (TestStop, TestEnds).
//   - Settings: NewPump refuses a stream with weaker settings, and Provision
//     strengthens it. Both accept stronger ones (TestStreams).
//
// # Limits
//
//   - The stream keeps all rows, because the position is in the store. Purge it
//     up to the lowest position of its pumps: nats stream purge SHOP --seq=N.
//   - MaxBytes limits each stream; 0 is unlimited. When the stream of rows is
//     full, Write fails. When the stream of rejected rows is full, the pump
//     waits.
//   - A row with its headers must fit max_payload (1 MB by default). The copy of
//     a rejected row that does not fit max_payload or 64 KiB of headers has
//     neither payload nor headers, and Pump-Truncated is set (TestPump).
//   - A recreated stream that has grown past the position is not recognized. To
//     start again, delete the position and purge the pump's rejected rows:
//     otherwise a row with the sequence of a rejected one is not written.
//   - Write stores an ID once in 2 minutes, also if the tables differ.
//   - The start of a pump costs a request that grows with the number of its
//     rejected rows.
//   - Names of streams, pumps and IDs are 1 to 64 of A-Z a-z 0-9 _ -. Names of
//     tables and columns are letters, digits and _ (TestBadInput).
//
// # When not to use it
//
//   - One service owns the data: it opens its database itself.
//   - The history matters: use eventstore, and a pump for its read models.
//   - The caller must learn that a row is refused: use requestreply.
//
// # Related patterns
//
// query reads what a pump has written. eventstore stores each change of an
// entity. idempotent keeps a record of handled messages for other effects than
// rows. outbox publishes what a database stores.
//
// # Also known as
//
// Channel Adapter, Polling Consumer, Invalid Message Channel, an alternative to
// Shared Database (EIP); sink connector, universal database driver, data access
// service.
//
// # Kind
//
// Borders
package datapump
