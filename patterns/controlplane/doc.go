// Package controlplane lets one controller drive the state of many service
// instances by messages: what it wants is kept, so that whoever was away converges
// to it on return, and only one controller at a time may want anything.
//
// # Intent
//
// Say what each instance should be doing (running, paused, draining, stopped, at
// what log level and rate); learn what it does; send a command to one, some or all.
//
// # Forces
//
//   - An order given to an instance that is down is lost; a wish that is kept is not.
//   - Two controllers, each sure that it is the active one, pull in two directions,
//     and a paused process does not know that its time is over.
//   - An instance may be unable, or unwilling, to do what it is told.
//
// # On NATS
//
// Desired state is a key of a KV bucket, desired.<service>[.<instance>]; its
// revision is the generation. An [Agent] watches its keys, applies what it finds and
// tells what it does under observed.<service>.<instance>. The active [Controller]
// holds the key lease, which has a time to live; every write expects the revision
// of the lease that the writer holds, so the server itself refuses a controller
// whose lease has ended (optimistic concurrency on another key, nats-server 2.12).
// Commands are core requests: who is away has missed them.
//
// # Guarantees
//
//   - An agent applies the latest desired state, its instance's own before its
//     service's, also after it was away, and reports the generation it has seen and
//     what it does (TestAgent, TestAway). States in between may be skipped, and
//     instances reach a state at their own times, in no promised order (TestAway).
//   - A transition that is not allowed, and one that the handler refuses, are
//     reported with the reason and not tried again; another failure is tried again
//     with backoff until something newer is desired (TestRefused, TestRetry).
//   - At most one controller writes at a time: the write of one whose lease has
//     ended, or passed on, is refused, however late it comes (TestPausedController).
//     Another takes over within two leases (TestTakeover).
//   - A command is done once at most by each run of an agent that hears it, even if it
//     is sent again among 256 others, and refused if it is for an older generation (TestTell). It is lost on
//     who is away (TestTell/who_is_away_misses_it).
//   - Under cuts and restarts every agent ends at what was last desired (TestFaults).
//
// # When not to use it
//
// To elect a leader for work that does not pass through this bucket, the fence does
// not hold: carry the lease's revision to wherever the effect is. To only watch who
// is alive, use package heartbeat.
//
// # Related patterns
//
// heartbeat tells the controller who is there; requestreply is how commands travel;
// queueing has the work that is paused and drained.
//
// # Also known as
//
// Control Bus (EIP); desired-state reconciliation, operator; leader lease with
// fencing token.
package controlplane
