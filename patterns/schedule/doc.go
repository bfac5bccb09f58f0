// Package schedule has messages come later, at a time or again and again, and keeps those
// from being handled whose time is over; the server keeps the time, no process need live.
//
// # Intent
//
// Delay, recurrence and expiration as properties of messages, which a restart does not forget.
//
// # Forces
//
//   - A timer in a process is lost with it, and fires in each instance of it.
//   - Whoever plans may plan twice, think better of it, or not hear that it was done.
//   - What is late may be worthless, wherever it is by then: stored, on the wire, in a hand.
//
// # On NATS
//
// A [Calendar] is the stream SCHEDULE_<name>. What is planned under an id is a message
// schedule on schedule.<name>.<id>.plan.<n>; what is due, the server stores on
// schedule.<name>.<id>.due for Keep, whence consumers read it. Each change, a cancel too, is
// stored if the last message of id is still the one that was looked at
// (Nats-Expected-Last-Subject-Sequence), and purges the plan before it in the same step.
// [SetDeadline] is a header that the receiver honours, [Fresh], be the message stored or not;
// [TTL] has the server drop it from the stream. Needs NATS 2.14; 2.12 but for recurrence.
//
// # Guarantees
//
//   - What is planned once comes once, not before its time and within 0.3s if the server is up,
//     or after it is up again, though it was cut off, restarted, or the call repeated with the
//     same time (TestAt, TestRepeat, TestRestart, TestSweep).
//   - Of one id the last plan counts, also at the instant when the one before it is due
//     (TestReplace, TestAllAtOnce, TestReplaceAtTheInstant); planned the same, it is left
//     as it is (TestPlannedByAll). What Cancel reports true for does not come, by our clock, nor
//     what a call that had failed still had under way (TestCancel, TestCancelAtTheInstant, TestSweep).
//   - What recurs comes once each time, however many have planned it (TestPlannedByAll,
//     TestConsumer, TestSweep). What it missed while the server was down comes once when it is
//     back, or not if it was killed; then an interval counts anew (TestRestart).
//   - A cron goes by the clock of its zone: an hour left out in spring, or doubled in autumn, leaves
//     out or doubles what it had (TestZones, TestCronAgrees). What is no time is not sent (TestBadTimes).
//   - Consumers get what is due at least once while it is kept, each service its own (TestConsumer,
//     TestSweep). A plain subscriber does not get it (TestCoreSubscriber).
//   - A Fresh handles nothing after its deadline plus Skew, by its own clock, and tells of it; of
//     stored messages also the server, by an advisory (TestFreshCore, TestFreshStream). A TTL never
//     cuts the deadline short (TestTTL, TestPlannedWithDeadline).
//   - Not promised: order of what is due at one instant (TestList); times by a planner's clock
//     that differs from the server's; that what is in hand ends by its deadline (TestFreshStream);
//     with one replica, what is due as the server is killed: it drops the plan, then stores.
//
// # When not to use it
//
// For a retry, see backoff. For less than a second, a timer in the process. As a deadline of a call
// that waits for its answer, its context. Memory storage forgets all with the server.
//
// # Related patterns
//
// idempotent for the receiver, as what is due may be handled twice; durable, queueing and
// deadletter for what becomes of it.
//
// # Also known as
//
// Message Expiration (Hohpe and Woolf), delayed message, delayed delivery, scheduled message,
// cron job, timer, reminder, time to live, deadline.
package schedule
