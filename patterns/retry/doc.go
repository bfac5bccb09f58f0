// Package retry retries calls of a dependency with exponential backoff and
// jitter, a retry budget and a circuit breaker.
//
// # Intent
//
// Survive short failures of a dependency, and do not overload it during long
// ones.
//
// # Forces
//
//   - A short failure is repaired by a retry. An overload is made worse by it.
//   - Clients that fail at the same time also retry at the same time.
//   - A call of a dependency that is down costs its whole timeout.
//
// # On NATS
//
// The package has no subjects, streams or consumers, and does not import
// nats.go. A [Retrier] is used around any call: a request, a publish, HTTP,
// SQL. [Retrier.Do] makes the calls. It waits for a [Policy], takes a token of
// a [Budget] for each retry, and is permitted by a [Breaker].
//
// A consumer has its own loop, because the server redelivers messages. It uses
// [Retrier.Ready] before it fetches, [Retrier.Start] before an attempt, and
// [Retrier.Delay] after a failed one. Package backoff is such a consumer.
//
// # Guarantees
//
//   - Loss: not promised. Do returns an error after MaxAttempts, and keeps
//     nothing (TestDo).
//   - Duplication: not promised. A call that returned an error can have had its
//     effect, and is made again (TestNotPromised).
//   - Order: not promised. A call that is retried is overtaken by other calls
//     (TestNotPromised).
//   - Delay: a delay is at least MinDelay and at most MaxDelay of its attempt
//     (TestPolicy, TestDo). Jitter spreads the retries of clients that failed
//     together (TestJitter).
//   - Retry: Do makes at most MaxAttempts attempts, and one if the error wraps
//     ErrPermanent. Each attempt ends after Timeout, if the call obeys its
//     context (TestDo).
//   - Budget: Burst retries are made at once, then one per Every, and Ratio per
//     success (TestBudget, TestOutage).
//   - Breaker: while it is open no call is made. While it is half-open one call
//     is made at a time (TestBreakerStates, TestProbe). A call that panics is a
//     failure; one that its caller canceled does not count (TestDoOutcome).
//   - Shutdown: Do returns when its context ends. It waits only for a call that
//     ignores its context (TestDo).
//
// # Limits
//
//   - Budget and Breaker are state of one process. Ten processes make ten times
//     the retries.
//   - A Breaker does not distinguish calls. Use one Retrier for each
//     dependency.
//   - The delay before a retry holds the goroutine of the caller.
//   - ErrOpen and ErrBudget are returned at once. The caller decides whether it
//     fails, waits or returns a cached result.
//
// # When not to use it
//
//   - The call has an effect, and the dependency cannot recognize a retry: use
//     idempotent on its side first.
//   - The work must survive a crash of the caller: publish a message and use
//     backoff.
//   - The error does not depend on time, such as a bad request: return it.
//
// # Related patterns
//
// backoff retries messages with a Retrier, and keeps them in a stream
// meanwhile. requestreply sends requests. idempotent makes a retry safe.
//
// # Also known as
//
// Exponential backoff with jitter, retry budget, retry throttling, circuit
// breaker.
//
// # Kind
//
// Delivery
package retry
