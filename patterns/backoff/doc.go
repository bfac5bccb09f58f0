// Package backoff calls what may fail: it tries again ever later, holds retries to a
// budget, leaves alone what is down, and tells the sender when the workers are behind.
//
// # Intent
//
// Let a queue outlast an outage of what its workers call, and not be its cause.
//
// # Forces
//
//   - What failed for a moment is done by a retry; what is overloaded is killed by it.
//   - A message that waits must not hold up the others, nor be lost if its worker dies.
//   - Tries are few. Spent on a dependency that is down, none is left when it is up.
//
// # On NATS
//
// A queue is the stream BACKOFF_<queue> with the subjects backoff.<queue>.do.<id>, one
// work queue consumer, workers; .later.<id>, what waits for long; and .failed.<id>, what
// was given up, with Backoff-Tries and Backoff-Reason. A [Worker] fetches as many messages
// as it has free hands. It keeps a short wait by a nak with a delay, and from Config.Long
// on by a message schedule, @at, whose target is do.<id>: a delayed nak holds a slot of
// MaxAckPending, a schedule does not. While its [Breaker] is open it pauses the consumer,
// for all. JetStream, for nothing else remembers; NATS 2.12, for schedules. The consumer
// has no MaxDeliver, past which a message is stuck, and no BackOff, which a nak ignores.
//
// # Guarantees
//
//   - Each message is done at least once, or given up and kept after exactly Tries tries, or at
//     once if it is poison (TestSweep, TestRetry, TestPoison). A worker that dies has had its try
//     (TestDeath), one that is told to stop, not (TestStop). Given up it stays, with its
//     reason, when the worker could not say so (TestGivenUp), and may be sent again (TestResent).
//   - Tries are at least Policy.Least apart (TestPolicy, TestRetry, TestSweep), but for this: after
//     a death, AckWait, twice Timeout, takes the place of a longer wait (TestDeath), and a restart of
//     the server may cut up to a second off a short one (TestRestartIsEarly). A worker that is
//     late puts nothing away that another has done (TestLate), but its nak, if it was on the way
//     when it was cut off, may have a message come again early. How long at most is not promised: the breaker,
//     the budget and a want of hands add to it (TestBreaker, TestBudget).
//   - A worker makes no more retries than its budget has tokens (TestBudget, TestSweep), and while
//     its breaker is open it makes no call, then one (TestBreaker, TestBreakerStates). What waits for
//     either spends no try. What hangs is a failure (TestTimeout).
//   - A wait of Long or more holds up no other message (TestLong), outlives the server (TestRestart)
//     and a lost ack (TestAway). Messages keep header and body (TestMessage, TestLargest).
//   - A worker has no more messages than hands, and beyond MaxWaiting the Sender is refused
//     (TestSlowConsumer).
//   - Not promised: order, as what fails is overtaken (TestRetry); once, as a worker may die after
//     the effect (TestDeath); that nothing is given up in an outage longer than its tries, as the
//     call that the breaker lets through is a try (TestSweep); two messages of one id, of which
//     the one that has waited for long takes the place of the other (TestReplaced).
//   - Not promised: waits by a clock that differs from the server's, which keeps the long ones.
//     Budget and breaker are of each worker, not of all together (TestSweep).
//
// # When not to use it
//
// Where nobody calls anything that fails: queueing. Where order counts: durable, which tries
// one message until it is done. For a delay that is not a retry, schedule it yourself.
//
// # Related patterns
//
// queueing and durable back off simply; a dead letter channel looks after what is given up.
//
// # Also known as
//
// Exponential backoff with jitter, retry budget, circuit breaker, bulkhead, backpressure,
// load shedding, delayed redelivery.
package backoff
