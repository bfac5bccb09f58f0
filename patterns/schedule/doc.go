// Package schedule delivers messages at a later time, once or repeatedly, and
// refuses messages after their deadline. The server keeps the schedules.
//
// # Intent
//
// Delay a message, repeat it, or let it expire. A schedule survives a restart
// of each process, and no process has to run until the message is due.
//
// # Forces
//
//   - A timer in a process is lost when the process crashes, and fires in every
//     instance of a service.
//   - A caller schedules twice, changes or cancels a schedule, or does not
//     receive the reply of a call.
//   - A message can expire anywhere: in a stream, on a connection, in a buffer
//     of the client.
//
// # On NATS
//
// A [Calendar] is the stream SCHEDULE_<name>. A scheduled message is a message
// schedule of the server on schedule.<name>.<id>.plan.<n>. When it is due, the
// server stores it on schedule.<name>.<id>.due, with a TTL of MaxAge, and
// consumers of the stream receive it. Cancel stores a message on
// schedule.<name>.<id>.cancelled.
//
// Each change is conditional (Nats-Expected-Last-Subject-Sequence): the server
// rejects it unless the last message of the ID is the one that the call has
// read. It removes the earlier schedule in the same step (Nats-Scheduler,
// Nats-Schedule-Next: purge).
//
// [SetDeadline] sets the header Schedule-Deadline, and [Filter] refuses a
// message after it, from core NATS or from a stream. [TTL] makes a stream
// remove the message.
//
// The package needs nats-server 2.14; without Every and Cron 2.12.
//
// # Guarantees
//
//   - Loss and duplication: a message scheduled once is due once, during
//     disconnects, restarts and repeated calls with the same time (TestAt,
//     TestRepeat, TestRestart, TestSweep).
//   - Delay: a message is not due before its time. It is due within 0.3 s, or
//     after the server is up again (TestAt, TestSweep).
//   - Replacement: the last call for an ID counts, also at the instant when the
//     earlier message is due (TestReplace, TestAllAtOnce,
//     TestReplaceAtTheInstant). A call with an equal message changes nothing
//     (TestPlannedByAll).
//   - Cancellation: if Cancel returns true, the message is not due, by the
//     clock of the caller. A failed earlier call that the server receives later
//     schedules nothing (TestCancel, TestCancelAtTheInstant, TestSweep).
//   - Recurrence: a recurring message is due once each time, also if several
//     instances schedule it (TestPlannedByAll, TestConsumer, TestSweep). After
//     a restart of the server it is due once for all missed times, and after a
//     crash it is not. Then an interval starts again (TestRestart).
//   - Time zones: cron uses the clock of its zone. A skipped hour skips its
//     messages, and a repeated hour repeats them (TestZones, TestCronAgrees). A
//     bad time is refused before it is sent (TestBadTimes).
//   - Delivery: each durable consumer receives each due message at least once
//     within MaxAge (TestConsumer, TestSweep). A core subscriber does not
//     receive it (TestCoreSubscriber).
//   - Expiration: a Filter passes no message after its deadline plus Skew, by
//     its own clock, and calls Refused. For a stored message the server also
//     publishes an advisory (TestFilterCore, TestFilterStream). A TTL never
//     ends before the deadline (TestTTL, TestPlannedWithDeadline). A handler
//     can run past the deadline (TestFilterStream).
//   - Order: not promised for messages that are due at the same instant
//     (TestList).
//
// # Limits
//
//   - The stream has no MaxBytes. Message schedules need discard: old, and a
//     limit with discard: old would remove the oldest schedules unread. Monitor
//     the size of the stream, or limit the account (TestDiscardNew).
//   - A due message is removed MaxAge after its time, also if no consumer has
//     received it. MaxAge is 7 days if zero, and a whole number of seconds.
//   - With one replica, a message that is due while the server crashes can be
//     lost: the server removes the schedule before it stores the message.
//   - Times are those of the server's clock. Cancel compares with the clock of
//     the caller.
//   - A message must fit max_payload with its own headers and about 520 bytes
//     of this package (TestLargest).
//   - List makes one request for each schedule.
//   - Memory storage loses all schedules when the server stops.
//   - A calendar name, an ID and a durable name are 1 to 64 of A-Z a-z 0-9 _ -
//     (TestBadInput).
//
// # When not to use it
//
//   - A failed message is to be retried: use backoff.
//   - The delay is below a second: use a timer in the process.
//   - A caller waits for a reply: use the deadline of its context.
//
// # Related patterns
//
// idempotent makes the handler of a due message safe against duplicates.
// durable, queueing and deadletter handle due messages.
//
// # Also known as
//
// Message Expiration (EIP), delayed message, delayed delivery, scheduled
// message, cron job, timer, reminder, time to live, deadline.
//
// # Kind
//
// Delivery
package schedule
