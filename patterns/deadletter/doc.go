// Package deadletter stores messages that consumers cannot handle as dead
// letters, with the reason, until a person requeues or purges them.
//
// # Intent
//
// A message that cannot be handled must neither block other messages nor be
// lost.
//
// # Forces
//
//   - After MaxDeliver the server keeps the message in the stream and does not
//     deliver it again. It publishes one advisory, which is not stored.
//   - A term removes the message from a work queue. If no copy was stored
//     before, the message is lost.
//   - Nats-* headers are instructions to the server. A copy that has them is
//     refused, deduplicated, scheduled or expired.
//
// # On NATS
//
// The stream DEAD_<name> stores each letter on its own subject,
// dead.<name>.<stream>.<consumer>.<sequence>.<time>, with an expected last
// sequence of 0. So a letter is stored once, at any time later, unlike with
// Nats-Msg-Id. The headers Dead-Reason, Dead-Error, Dead-Deliveries and
// Dead-Subject describe it.
//
// [Channel.Guard] wraps a handler for cons.Consume. It counts the deliveries,
// and stores the letter before it terminates the message. The letter is made
// from the stored message, which it reads again if the handler has changed it.
// A [Collector] is for consumers that cannot be guarded. The stream
// ADVISORIES_<stream> stores the server's advisories, and the Collector reads
// each message by its sequence. In a work queue it also finds messages without
// an advisory.
//
// [Channel.Requeue] publishes the message without Nats-* headers, with a
// message ID of its own. The header Dead-Consumer makes other guarded consumers
// acknowledge it. A letter that is requeued or purged is replaced by a mark
// with Dead-Resolved. The package needs nats-server 2.12.
//
// # Guarantees
//
//   - Loss: none. If workers, Collectors and operators crash, and during
//     disconnects and server restarts, each message is handled or stored as a
//     letter. After all letters are requeued with a fix, all are handled
//     (TestSweep, TestSweepFindsMutants). While letters cannot be stored,
//     messages stay in their stream (TestChannelDown, TestFull, TestTooLarge).
//   - Loss of advisories: not promised. A server that stops can lose the
//     advisories of the messages that are terminated at that moment
//     (TestAdvisoryLost). A guarded consumer does not depend on advisories.
//   - Duplication: a message is one letter, also if its worker crashed after it
//     had stored the letter, and after the letter is resolved
//     (TestStoredAndCrashed, TestPurge, TestCluster). A message can be handled
//     and be a letter too, if its acks were lost (TestWorkersCrashed). A
//     message of a recreated stream is another one (TestRecreatedStream).
//   - Requeue: a repeated Requeue stores one message within the duplicate
//     window of the stream. After it, there may be two (TestRequeue). No Nats-*
//     header of the letter or of fix is published (TestHeaders).
//   - Order: not promised. A requeued message is a new one
//     (TestOrder).
//   - Delay: not promised. A message is retried after Backoff, doubled each
//     time (TestGuard). A Collector that was down finds all advisories that
//     were stored since NewCollector (TestCollector).
//   - Retry: a message is a letter after MaxDeliver attempts, or after one if
//     the handler returns ErrPoison (TestGuard). An attempt counts even if the
//     worker crashed (TestWorkersCrashed). A handler that runs longer than
//     AckWait keeps its message (TestLongHandler).
//   - Content: a letter holds the message as it is stored, whatever the handler
//     changed (TestOriginal). If a term had removed it before a Collector read
//     it, the letter is Gone, and fix must supply the message (TestCollector).
//   - Collector: it finds a message in a work queue without an advisory when
//     its consumer has nothing in flight (TestScan).
//   - Other consumers: a guarded consumer acknowledges a message that is
//     requeued for another one. Other consumers receive it again
//     (TestOtherConsumers).
//   - Shutdown: a running handler has Grace left (TestGrace). Messages that
//     arrive later are redelivered (TestStop). A Collector ends with an error
//     when its stream is gone or the connection is closed (TestCollectorEnds).
//
// # Limits
//
//   - MaxAge 0 and MaxBytes 0 are unlimited. With MaxAge, letters are removed
//     unread. A full stream refuses letters and advisories.
//   - A message that fits max_payload without the headers of a letter, but not
//     with them, stays in its stream and is retried (TestTooLarge).
//   - Headers that begin with Dead- are not kept.
//   - Messages that Consume has prefetched are not kept in progress. With a
//     slow handler set jetstream.PullMaxMessages(1).
//   - If the stream has removed a message before its letter is stored, the
//     letter holds the message as the handler left it (TestOriginal).
//   - A stream without a leader stores no advisories. An interest stream
//     without consumers does not keep a requeued message (TestOtherConsumers).
//   - Reading letters takes one request per letter.
//   - A name is 1 to 64 of A-Z a-z 0-9 _ - (TestBadInput).
//
// # When not to use it
//
//   - The message waits for an event that will come: retry it later.
//   - The payload cannot be decoded: an invalid message channel, as in schema,
//     notifies its publisher.
//   - You need a work queue, and have no stream yet: queueing stores failed
//     jobs.
//
// # Related patterns
//
// queueing counts deliveries in the same way. idempotent makes a handler safe
// against duplicates. backoff limits retries across workers.
//
// # Also known as
//
// Dead Letter Channel (EIP); dead letter queue, DLQ, poison message queue,
// parking lot.
//
// # Kind
//
// Delivery
package deadletter
