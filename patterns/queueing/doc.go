// Package queueing distributes jobs to workers: the server delivers each job to
// one worker, and redelivers it if the worker fails.
//
// # Intent
//
// Share a stream of jobs among any number of identical workers. The publisher
// of a job does not know the workers. More workers process the jobs faster.
//
// # Forces
//
//   - The server cannot distinguish a crashed worker from a slow one: it only
//     sees that no ack arrives.
//   - A job that always fails must not be retried forever, and must not be
//     lost.
//   - Prefetching saves round trips, but prefetched jobs wait in one worker
//     while other workers are idle.
//   - A publisher that waits for each ack is slow; one that does not wait must
//     know which jobs are stored.
//
// # On NATS
//
// The package has two forms with one [Handler].
//
// A work queue uses JetStream. [Send] publishes a job to jobs.<queue>.<id>, and
// [SendAll] many jobs. The stream JOBS_<queue> (retention: workqueue) stores a
// job until it is acknowledged. Each [Worker] pulls from the one durable
// consumer, "workers". It sends in-progress three times per AckWait while it
// owns a job, and acks the job after the handler returned nil. A job that fails
// MaxDeliver times is copied from the stream to the stream FAILED_<queue> with
// the headers Queue-Reason and Queue-Deliveries, and is terminated after that.
// [Check] reads both streams.
//
// A queue group uses core NATS. [Offer] publishes a job to offers.<queue>.<id>,
// and the server delivers it to one [Member] of the group. Nothing is stored.
//
// The work queue needs nats-server 2.12 (prioritized pull consumers).
//
// # Guarantees
//
//   - Loss: a work queue loses no job that Send or SendAll confirmed. During
//     disconnects, crashes and server restarts each job is handled at least
//     once, or is stored as failed (TestSweep, TestSweepFindsAckFirst,
//     TestFailureNotLost, TestFailedFull).
//   - Loss: SendAll returns each job that is not confirmed, and its error names
//     it. It ends with its context, or 5 s after the last ack (TestSendAll,
//     TestSendAllInterrupted, TestSendAllFaults). A denied publish is reported
//     as one (TestSendDenied).
//   - Loss: a queue group delivers at most once. A job is lost if no member is
//     subscribed, if its member crashes, or if its member's buffer is full
//     (TestNotPromised, TestSlowMember).
//   - Duplication: a work queue can deliver a job twice, for example if the ack
//     is lost (TestNotPromised). Without failures each job is handled once, in
//     both forms (TestBothForms, TestRealServer). The stream stores an ID once
//     in 2 minutes (TestSendTwice, TestSendAll).
//   - Order: not promised. A job that is retried is overtaken (TestOrder).
//   - Delay: not promised. The job of a crashed worker is redelivered after
//     AckWait (TestWorker/the_job_of_a_worker_that_crashed). A job longer than
//     AckWait keeps its worker
//     (TestWorker/a_job_longer_than_AckWait_keeps_its_worker).
//   - Retry: a job that fails is retried after Backoff, doubled each time. It
//     fails after MaxDeliver attempts, or after one if the handler returns
//     ErrPoison. An attempt counts even if the worker crashed (TestWorker).
//     FAILED_<queue> keeps the job as it was sent, with its payload and headers
//     (TestFailed, TestFailedRecreated).
//   - Isolation: a handler may change its message. This affects neither the
//     failed job (TestFailed) nor another subscriber (TestMemberMessage).
//   - Shutdown: Run finishes the jobs that it received (TestStop,
//     TestStopOnTheWay, TestStopDisconnected, TestStopReconnected). After Grace
//     a Worker naks the rest and a Member drops it (TestGrace,
//     TestGraceIgnored, TestGraceOnTheWay, TestGraceOfMember). A Member that is
//     never run ends with its connection (TestMemberBeforeRun).
//   - Concurrency: Concurrency and MaxAckPending are never exceeded
//     (TestBothForms, TestMaxAckPending). A standby receives a job only when no
//     worker of a higher priority is waiting (TestStandby).
//   - Settings: NewWorker refuses a weaker stream or consumer, and accepts a
//     stronger one. Provision never lowers a setting (TestExisting).
//
// # Limits
//
//   - MaxAckPending is 1,000 for all workers of a queue. Jobs in backoff count:
//     when 1,000 jobs are in backoff, no other job is delivered
//     (TestMaxAckPendingInBackoff).
//   - Every delivery counts as an attempt, also of a prefetched job whose
//     handler did not start.
//   - A handler must return when its context ends. Run waits for it, but after
//     Grace its job is redelivered (TestGraceIgnored). Before that, the job is
//     not redelivered while the handler runs and the worker is connected.
//   - The server allows 512 waiting pull requests: one for each idle Worker.
//   - A job with its headers must fit max_payload (1 MB by default), and its
//     headers must fit 64 KiB. If a failed job does not fit these limits, its
//     payload and headers are dropped, and Queue-Truncated is set (TestFailed).
//   - SendAll has at most 100 jobs without an ack.
//   - A Member buffers 524,288 jobs or 64 MB, or fewer jobs with Prefetch.
//   - MaxBytes limits each of the two streams; 0 is unlimited. A full queue
//     refuses new jobs. If the stream of failed jobs is full, failed jobs stay
//     in the queue (TestFailedFull).
//   - A queue name and an ID are 1 to 64 of A-Z a-z 0-9 _ - (TestBadInput).
//
// # When not to use it
//
//   - The caller needs a reply: use requestreply.
//   - Several services each need every message: use pubsub or durable.
//   - The jobs of one key must run in order: use perkey.
//
// # Related patterns
//
// idempotent makes a handler safe against duplicates. deadletter repairs and
// requeues failed messages of any stream. backoff limits retries across
// workers.
//
// # Also known as
//
// Competing Consumers, Point-to-Point Channel (EIP); work queue, task queue,
// job queue, worker pool.
//
// # Kind
//
// Delivery
package queueing
