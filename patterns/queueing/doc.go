// Package queueing gives each job to one of many workers: add workers and the
// work goes faster, lose one and another takes over its job.
//
// # Intent
//
// Share jobs among workers that are all alike; whoever sends one need not know whose it is.
//
// # Forces
//
//   - A dead worker hands nothing back; its silence tells, but the slow are silent too.
//   - A job that can never succeed must not be tried for ever, nor may it vanish.
//   - Jobs fetched ahead save round trips and make other workers idle.
//
// # On NATS
//
// Two forms, one [Handler]. A queue group is core NATS: [Offer] publishes on
// offers.<queue>.<id>, and the server picks a [Member] of the group; it costs
// nothing and remembers nothing. A work queue is JetStream: [Send] stores the job on
// jobs.<queue>.<id> in the stream JOBS_<queue>; a [Worker] pulls from its one
// consumer, says every third of AckWait that it is still at it, and acks. The worker
// counts the tries: past a consumer's MaxDeliver a job would stay in the stream and
// nobody be told. Given up, it goes to failed.<queue>.<id> in FAILED_<queue> with
// the reason, and only then leaves JOBS: so [Check] can tell. Needs NATS 2.12.
//
// # Guarantees
//
//   - When nothing fails, each job is handled once, by one worker, in both forms,
//     with payload and headers as sent (TestBothForms, TestRealServer).
//   - A work queue loses nothing: whatever is cut, killed or restarted, a job is done
//     at least once or has failed (TestSweep, TestSweepFindsAckFirst). A dead worker's
//     job is another's after AckWait (TestWorker/the_job_of_a_worker_that_died); a slow
//     one's stays its own, as do those it fetched ahead (TestWorker).
//   - A work queue does not promise once: the job of a worker that dies between effect
//     and ack is done again (TestNotPromised/a_work_queue). Only the effect can prevent
//     that, by the id of the job.
//   - A failing job is tried again at doubled intervals, and has failed after its
//     tries, poison after one, workers that all died included (TestWorker). Check
//     tells, and FAILED keeps it (TestFailed, TestFailureNotLost). A try is a
//     delivery: a worker's death costs every job it holds one.
//   - A queue group promises at most once: no member, or a dead or slow one, and the
//     job is gone, unseen but for the log (TestNotPromised, TestSlowMember).
//   - Run stopped finishes what it was given (TestStop, TestStopOnTheWay). After
//     Grace a Worker hands back what is left, and a Member loses it (TestGrace,
//     TestGraceOfMember). A handler must heed its ctx, or Run waits for it; one that
//     never returns keeps its job.
//   - InHand and InFlight are never exceeded (TestBothForms, TestInFlight); a standby
//     has only what nobody before it waits for (TestStandby).
//   - Order is not promised: jobs overtake each other (TestOrder).
//
// # When not to use it
//
// For an answer, requestreply. For facts that many read, pubsub or a stream with a
// consumer for each. For order, one consumer with InFlight 1, or a key per worker.
//
// # Related patterns
//
// requestreply answers through a queue group; pubsub gives everyone a copy.
//
// # Also known as
//
// Point-to-Point Channel, Competing Consumers; task queue, worker pool, load balancer.
package queueing
