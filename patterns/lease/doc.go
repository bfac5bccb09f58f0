// Package lease elects a leader among processes with a key that expires, and
// lets the server refuse the writes of a leader whose term has ended.
//
// # Intent
//
// Run a task in exactly one of several identical processes. If that process
// crashes, another one continues. A leader that was paused must not overwrite
// the work of its successor.
//
// # Forces
//
//   - A process cannot know that it is still the leader. It can be paused
//     between the check and the write.
//   - A crashed leader and a disconnected leader look the same to the others.
//   - A short time to live elects a new leader soon, but a short disconnect
//     already ends the term.
//
// # On NATS
//
// The lease is one key of a KV bucket with a time to live (TTL). A [Candidate]
// claims it with a create, which fails while the key exists. Its value names
// the instance that leads: nats kv get leases NAME. The leader renews the key
// three times per TTL. If it does not, the server deletes the key. To resign,
// the leader purges it.
//
// The revision of the create is the fencing token of the [Term]: it grows with
// each term. [Term.Put] writes another key of the same bucket, on the condition
// that the lease key still has the revision of this term (the header
// Nats-Expected-Last-Subject-Sequence-Subject). The server checks that in the
// same step as it writes. A store outside of the bucket must compare
// [Term.Token].
//
// The package needs nats-server 2.12 (an expected sequence on another subject).
//
// # Guarantees
//
//   - Concurrency: the server refuses a Put after the lease has expired or
//     another term has begun, however late it arrives (TestPausedLeader,
//     TestFaults). Reading the lease before the write does not protect it
//     (TestCheckThenWrite).
//   - Overlap: the ctx of a leader ends TTL/10 before another candidate can
//     claim the lease (TestExpiry, TestFaults). A paused process notices it
//     late.
//   - Order: tokens grow with each term (TestTakeover). A write of an earlier
//     term never follows a write of a later one (TestFaults).
//   - Delay: another candidate leads within TTL/3 after the leader has
//     resigned, and within two TTL after it was disconnected or crashed
//     (TestTakeover).
//   - Loss: an acknowledged Put is stored. Put is not retried: after an error
//     other than [ErrFenced] the caller does not know if the key was written
//     (TestLostReply).
//   - Duplication: not promised. A caller that retries a Put can write the key
//     twice (TestNotPromised).
//   - Renewal: a renewal whose ack is lost does not end the term
//     (TestLostRenewal), nor does a Put whose reply is lost (TestLostReply).
//   - Shutdown: the leader keeps the lease until lead has returned, and resigns
//     then (TestStop). A lead that fails or panics resigns too (TestLeadFails).
//
// # Limits
//
//   - TTL is in whole seconds, at least 1 s, because the server ignores
//     fractions (TestBadInput).
//   - The lease expires by the clock of the server that leads the stream. A
//     step of that clock can end a term early. Put is refused then too.
//   - A lead that does not return when its ctx ends overlaps with the next
//     leader. Only Put and the token protect against that.
//   - Run returns at most TTL/3 plus 1 s after lead.
//   - Put takes at most TTL/3, one at a time per term. It costs about 1.4 times
//     a kv.Put (BenchmarkPut).
//   - If the bucket is full (MaxBytes; 0 is unlimited), renewals fail and the
//     term ends.
//   - A name, and each token of a key, is 1 to 64 of A-Z a-z 0-9 _ -
//     (TestBadInput).
//
// # When not to use it
//
//   - The work is a stream of jobs: use queueing or perkey; the server assigns
//     each job to one worker.
//   - One consumer of a stream must be active: use a pinned consumer of NATS,
//     as perkey does.
//   - Only to see which instances are alive: use heartbeat.
//
// # Related patterns
//
// controlplane writes the desired state of services under a lease. heartbeat
// detects crashed instances, but two observers can disagree. perkey assigns
// keys to workers.
//
// # Also known as
//
// Leader election, distributed lock with a fencing token, Lease (Patterns of
// Distributed Systems).
//
// # Kind
//
// Operations
package lease
