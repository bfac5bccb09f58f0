// Package backoff consumes messages from a queue and retries failed ones with
// exponential backoff, until they are done or stored as failed.
//
// # Intent
//
// Keep messages while a dependency of their consumers fails, and do not
// overload it with retries. Refuse new messages when the consumers are behind.
//
// # Forces
//
//   - A message that waits must not hold up other messages, and must not be
//     lost if its worker crashes.
//   - Attempts are limited. If they are used up during an outage, no attempt is
//     left when the dependency works again.
//   - The server stores messages faster than a worker can handle them.
//
// # On NATS
//
// The stream BACKOFF_<queue> (retention: workqueue) has the subjects
// backoff.<queue>.do.<id>, .later.<id> for scheduled messages and .failed.<id>
// for failed ones, with the headers Backoff-Deliveries and Backoff-Reason. All
// workers share its consumer, "workers".
//
// A [Worker] fetches as many messages as it has idle handlers. After a failed
// attempt, a short delay is a nak with a delay. From ScheduleAfter on, the
// delay is a message schedule: a copy with the target do.<id>. A nak holds a
// slot of MaxAckPending during its delay, a schedule does not.
//
// A [Policy] decides about delays and attempts. The default is exponential
// backoff with jitter. A Retrier of package retry adds a retry budget and a
// circuit breaker. While its breaker is open, this worker does not fetch, and
// the other workers go on.
//
// A [Sender] reads the state of the stream, and refuses a message if the queue
// has MaxWaiting messages.
//
// The package needs nats-server 2.12 (message schedules).
//
// # Guarantees
//
//   - Loss: each message is done at least once, or stored as failed after
//     MaxDeliver attempts, or after one if the handler returns ErrPoison
//     (TestSweep, TestRetry, TestPoison). A crash uses an attempt (TestCrash).
//     A failed message keeps its headers and data as they were sent, even if
//     the handler changed them, and its reason (TestMessage, TestLostTerm).
//   - Duplication: a message can be handled twice, if its worker crashed after
//     the effect (TestCrash). Send stores an ID once in 2 minutes
//     (TestMessage).
//   - Order: not promised. A failed message is overtaken (TestRetry). A message
//     that is sent with the ID of a scheduled one can be replaced by it
//     (TestReplaced).
//   - Delay: the next attempt is not before Policy.Delay is over (TestRetry,
//     TestBackoff, TestSweep), with two exceptions. After a crash or a lost
//     nak, AckWait replaces the delay (TestCrash). A restart of the server
//     shortens a nak by up to a second (TestRestartIsEarly). No longest delay
//     is promised.
//   - Schedule: a scheduled message holds up no other message
//     (TestScheduleAfter). It survives a restart of the server (TestRestart)
//     and a lost ack (TestLostAck).
//   - Policy: a worker makes an attempt only if its Policy permits it
//     (TestBreaker, TestBudget, TestSweep). An attempt that exceeds Timeout or
//     panics has failed (TestTimeout, TestPanic). A policy that permits nothing
//     stops its own worker only (TestBreakerIsLocal).
//   - Concurrency: a worker has at most Concurrency messages, and Send returns
//     ErrFull above MaxWaiting (TestSlowConsumer).
//   - Shutdown: Run finishes attempts in progress, and returns other messages
//     to the queue without an attempt (TestStop). The context of an attempt
//     ends after Grace (TestGrace, TestStopWithoutServer).
//
// # Limits
//
//   - AckWait is twice Timeout. An attempt that ignores its context for longer
//     is made again by another worker. A late worker changes nothing of a
//     message that is done (TestLateWorker, TestLateCopy). Timeout includes
//     the lookup of a redelivered message (TestTimeoutIncludesLookup).
//   - An outage that outlasts all attempts of a message makes it fail. Without
//     a breaker that is likely (TestSweepFinds).
//   - A disconnected worker can send a nak late, which can shorten a delay.
//   - MaxWaiting holds for up to ten Senders. Failed messages do not count.
//     They stay in the stream until somebody removes or sends them again
//     (TestSendFailedAgain).
//   - MaxBytes is 0: unlimited. A stream with schedules cannot discard new
//     messages. So Send returns ErrFull above half of MaxBytes, failed messages
//     included, and the other half is for copies (TestMaxBytes).
//   - A message must leave 2,048 bytes of max_payload, and of 64 KiB of
//     headers, for the headers of a failure (TestLargest, TestLargestHeaders).
//   - The server's clock decides when a schedule is due.
//   - A redelivery costs one read of the stream; a schedule and a failure cost
//     a read and a publish.
//
// # When not to use it
//
//   - Handlers depend on nothing that can have an outage: use queueing.
//   - The order counts: use durable, which retries one message until it is
//     done.
//   - The caller waits for the result: use retry around the call.
//   - The delay is not a retry: use schedule.
//
// # Related patterns
//
// retry is the policy: backoff, budget and breaker. queueing retries with a
// fixed number of attempts. deadletter repairs and requeues failed messages of
// any stream. idempotent makes a handler safe against duplicates.
//
// # Also known as
//
// Retrying consumer, delayed redelivery, retry queue, backpressure, load
// shedding.
//
// # Kind
//
// Delivery
package backoff
