// Package query replies to named queries with the rows of a database, and
// streams a large result in chunks that the client requests.
//
// # Intent
//
// Let services read from a database without a driver, a password or SQL. A
// [Reader] runs the statements. A client sends the name of a statement and its
// arguments, and receives rows with [Rows].
//
// # Forces
//
//   - A result can be larger than memory and than max_payload.
//   - A client can be slower than the database, and can crash in the middle. An
//     open cursor costs the database memory and locks.
//   - Core NATS can lose a message, and a slow consumer loses many.
//   - A client that sends SQL can read, and destroy, everything.
//
// # On NATS
//
// [Rows] publishes a request to shop.query.STATEMENT with an inbox as its reply
// subject. Readers of one name are a queue group. The reader sends the result to
// the inbox in chunks of 64 KiB, numbered by the header Query-Chunk. The last
// one has the number of all rows in Query-Rows. Each chunk has a reply subject,
// on which the client requests another one. The reader sends Config.Prefetch
// chunks without a request. It also sends an empty message each second. If the
// client is gone, the server replies to it with status 503.
//
// A result is of one moment and has one client, so it uses core NATS; a stream
// would store what nobody reads again. It needs nats-server 2.2 (headers).
//
// # Guarantees
//
//   - Loss: a result is complete, or it ends with an error. A lost chunk, row or
//     end is detected, and so is a reader that is silent for 5 s (TestLost,
//     TestStream, TestConformance).
//   - Duplication: each row of a result is received once (TestConformance).
//   - Order: rows are received in the order of the statement (TestConformance).
//   - Delay: not promised. A slow statement delays its rows, and the client
//     waits as long as the reader is alive (TestStream).
//   - Flow control: rows that the client does not request stay in the database.
//     A reader holds at most Prefetch + 1 chunks of a result (TestStream).
//   - Cursors: a client that breaks from the loop or disconnects frees the
//     cursor within a second, and a client that requests nothing after
//     IdleTimeout (TestStream, TestConformance).
//   - Consistency: a result of SQLite or PostgreSQL shows the database at one
//     moment (TestConformance).
//   - Types: a number keeps all its digits on its way to the client
//     (TestConformance, TestPostgresTypes).
//   - Injection: no text of a message becomes SQL (TestConformance).
//   - Secrets: the error or panic of a source is logged, and not sent
//     (TestStream).
//   - Concurrency: more than Config.Concurrency queries at once are refused with
//     code 429 (TestStream).
//   - Shutdown: a Reader finishes its queries, and cancels them after Grace
//     (TestStream, TestEnds).
//
// # Limits
//
//   - A row must fit max_payload (1 MB by default).
//   - A lost message ends the query: the client queries again from the start.
//   - A client must read a chunk before IdleTimeout, 30 s by default.
//   - A field of the arguments that is missing is zero; use a pointer for NULL
//     (TestConformance).
//   - JSON into a map[string]any decodes numbers to float64; use a struct.
//   - Names of readers and statements are 1 to 64 of A-Z a-z 0-9 _ -
//     (TestBadInput).
//
// # When not to use it
//
//   - The reply is one message: use requestreply.
//   - Many services read the same changes: publish them with pubsub or
//     eventstore.
//   - The client needs any SQL: give it a database user.
//
// # Related patterns
//
// datapump writes the rows that a Reader reads. requestreply is for one short
// reply. streaming sends changes to browsers.
//
// # Also known as
//
// Request-Reply with a Message Sequence, Return Address, Channel Adapter, an
// alternative to Shared Database (EIP); data reader, server-side cursor,
// credit-based flow control.
//
// # Kind
//
// Borders
package query
