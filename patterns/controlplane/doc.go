// Package controlplane stores the desired state of service instances in a KV
// bucket; an agent in each instance brings it to that state and reports its
// actual state.
//
// # Intent
//
// Set what each instance of a service must do: running, paused, draining or
// stopped, with a log level and a rate. An instance that is down reaches the
// desired state when it starts. See the actual state of all instances.
//
// # Forces
//
//   - A command to an instance that is down is lost. A stored desired state is
//     not.
//   - Two controllers that both believe to be the leader set conflicting
//     states. A paused controller does not know that its term has ended.
//   - An instance can fail to reach a state, or refuse it.
//
// # On NATS
//
// The desired state is a key of a KV bucket, desired.SERVICE or
// desired.SERVICE.INSTANCE. Its revision is the generation. A controller writes
// it with [Set]. An [Agent] watches both keys, calls its [Handler] with the
// latest state, and writes a [Report] to actual.SERVICE.INSTANCE.
//
// Set writes through a [Writer]. A term of package lease with the same bucket
// is a Writer: each write carries the revision of the lease as a condition, and
// the server refuses it when the term has ended. The packages do not import
// each other.
//
// The package needs nats-server 2.11 (keys with a time to live), and 2.12 with
// a lease.
//
// # Guarantees
//
//   - Loss: an instance that was stopped or disconnected reaches the latest
//     desired state (TestAway). After disconnects and server restarts every
//     agent reaches it (TestFaults).
//   - Order: an agent applies the latest state and skips earlier ones
//     (TestAway). The state of an instance has precedence over that of its
//     service (TestAgent, TestOwnState).
//   - Concurrency: with a lease as the Writer, only the leader can change the
//     desired state. The server refuses a controller whose term has ended,
//     however late its write arrives (TestPausedController). With the bucket as
//     the Writer nothing is refused (TestUnfencedController).
//   - Duplication: not promised. The handler is called again for the same state
//     after a restart (TestCalledAgain) or a failure, so it must be idempotent.
//   - Delay: not promised. Each instance reaches a state at its own time
//     (TestAgent), and a disconnected one after it has reconnected (TestAway).
//   - Retry: a handler that fails or panics is called again, after Backoff,
//     doubled each time up to one minute, until it succeeds or a newer state is
//     desired (TestRetry).
//   - Refusal: a transition that is not allowed, and an error that wraps
//     [ErrRefused], are reported with the reason and not retried (TestRefused).
//     A value that cannot be decoded is reported, and the previous state stays
//     (TestUndecodable).
//   - Shutdown: after ctx has ended, the handler may go on for Grace. The last
//     report is written after that, within 2 s (TestStopGrace,
//     TestStopDisconnected).
//
// # Limits
//
//   - An instance that crashed keeps its last report. Use heartbeat to see that
//     it is down.
//   - A handler must return when its ctx ends: until then no newer state is
//     applied, and Run waits for it.
//   - Reports are written at most once per change, the latest one only. If the
//     bucket is full (MaxBytes; 0 is unlimited), they are retried after
//     Backoff.
//   - The bucket keeps one value per key: it has no history of changes.
//   - Every agent has an ordered consumer on the bucket.
//   - A name of a service or an instance is 1 to 64 of A-Z a-z 0-9 _ -
//     (TestBadInput).
//
// # When not to use it
//
//   - Something must happen once, now: send a command with requestreply.
//   - Only to see which instances are alive: use heartbeat.
//   - Only configuration, without an actual state: watch a KV bucket.
//
// # Related patterns
//
// lease elects the controller and fences its writes. requestreply carries
// commands to instances. heartbeat detects crashed instances. queueing has the
// work that is paused and drained.
//
// # Also known as
//
// Control Bus (EIP); desired-state reconciliation, operator, controller.
//
// # Kind
//
// Operations
package controlplane
