// Package deadletter keeps the messages that nobody could handle, with the reason,
// until someone has fixed and requeued them, or thrown them away.
//
// # Intent
//
// What cannot be handled must neither block what can, nor vanish.
//
// # Forces
//
//   - Past a consumer's MaxDeliver the server keeps the message in the stream, delivers
//     it no more, and says so once, to whoever listens at that moment.
//   - A Term removes the message from a work queue: what was not kept before is gone.
//   - Headers are orders to the server. Sent again, they are carried out again.
//
// # On NATS
//
// A letter is stored in DEAD_<name> on dead.<name>.<stream>.<consumer>.<sequence>.<time>,
// if nothing was stored there before: an identity without a window, unlike
// Nats-Msg-Id. [Channel.Guard] wraps a handler for cons.Consume, counts the tries,
// and stores the letter before it terminates the message. [Keeper] is for consumers
// that cannot be guarded: the server's advisories are captured in the stream
// ADVISORIES_<stream>, and the message is read by its sequence; a work queue is also
// looked through for what no advisory told of. A letter that is requeued or purged is
// replaced by a mark. Nats-* headers are not kept; a requeued message has an id of its
// own, and Dead-For, by which other guarded consumers pass it over. Needs NATS 2.12.
//
// # Guarantees
//
//   - Poison is a letter after one try, what fails after Tries at doubled intervals,
//     on work queues, interest and limits streams; fixed and requeued, it is handled
//     (TestPoisonFixedRequeued, TestGuard), with the message as it was sent
//     (TestAsSent). A try is a delivery: a worker's death costs one (TestWorkersDied),
//     and so does what comes to one that has been told to stop (TestStop).
//   - Nothing is lost: wherever a worker, keeper or operator dies, and whatever is cut
//     or restarted, each message is handled, or a letter exactly once; when all letters
//     are requeued with a fix, all are handled (TestSweep; with a Keeper, as long as
//     nothing is given up while the server is being stopped). Terminating first,
//     publishing without an identity, and listening to advisories fail the same check
//     (TestSweepTwins).
//   - While letters cannot be stored, messages stay in their stream (TestChannelDown),
//     for ever if they leave no room for a letter's headers (TestTooLarge).
//   - A letter stays one: its message is not tried again, nor becomes one again once
//     settled, when its worker died before it could terminate it (TestStoredAndDied,
//     TestPurge); a stream made anew is told from the old (TestSecondLife).
//   - A Keeper that was down has all that was given up since NewKeeper, with its body,
//     unless a Term removed that: then the letter is Gone, and a fix must supply it
//     (TestKeeper). What no advisory told of it finds in a work queue, when its
//     consumer has nothing in hand (TestReconcile). It ends with an error when there is
//     nothing to learn from any more (TestKeeperEnds).
//   - Requeue sends one message, however often it is repeated within the stream's
//     Duplicates window; past it, not promised: it may be two (TestRequeue). It carries
//     no Nats-* header of before; with those, 10 of 10 go wrong (TestHeaders).
//   - Not promised: order, a requeued message is a new one; that a consumer which is
//     not guarded does not get again what another gave up, or that an interest stream
//     without consumers keeps what is requeued (TestOtherConsumers); that a message
//     whose acks were lost is not a letter as well (TestWorkersDied); that a Keeper
//     learns of what is given up while its server is being stopped: 10 of 100 were
//     missed, for the advisories' stream may stop first (TestAdvisoryDies).
//
// # When not to use it
//
// For what waits for something that will come: try again later. For a body that does
// not decode, an Invalid Message Channel tells its sender. For a work queue with no
// streams of your own, queueing keeps the failed.
//
// # Related patterns
//
// queueing counts tries in the same way; idempotent keeps a repeated try harmless.
//
// # Also known as
//
// Dead Letter Channel; dead letter queue, DLQ, poison message queue, parking lot.
package deadletter
