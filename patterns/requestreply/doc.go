// Package requestreply sends a typed request to a service and returns its
// reply, or fails at once if no responder is subscribed.
//
// # Intent
//
// Call a service by subject, with a deadline. Return its reply, its error with
// a code, or the replies of many instances.
//
// # Forces
//
//   - The requester must not wait for a service that is not running.
//   - A slow request must not block the requests behind it.
//   - A reply that arrives after the timeout must not be taken for the reply to
//     the next request.
//
// # On NATS
//
// [Request] publishes JSON with a reply subject, and the header Request-Timeout
// with the time that the requester waits. A [Responder] is an instance of a
// micro service: the nats CLI and other micro clients find it by $SRV.PING,
// INFO and STATS. An error reply has the headers Nats-Service-Error and
// Nats-Service-Error-Code.
//
// The endpoints of all instances share the queue group "q", so the server
// delivers a request to one of them. An endpoint with [Endpoint.Each] has no
// queue group: every instance receives the request, and [All] yields the
// replies. A command is a request whose reply says that it is done, or an
// [Error].
//
// The package uses core NATS: a stored request would be handled when the
// requester no longer waits. It needs no minimum server version.
//
// # Guarantees
//
//   - Delay: without a responder a Request fails at once
//     (TestRequest/no_responder). Otherwise it ends by its deadline
//     (TestFaults, TestRequest/the_timeout_passes). The ctx of the handler ends
//     at the same time (TestHandlerDeadline).
//   - Errors: an [Error] arrives with its code and text. For any other error,
//     or a panic, the reply has code 500 without the cause (TestRequest).
//   - Loss: not promised. A request is lost if no responder is subscribed, or
//     if a connection breaks; the Request returns an error (TestNotPromised).
//   - Duplication: a Request is handled at most once (TestFaults). A Request
//     that failed can have been handled. If the caller repeats it, it can be
//     handled twice (TestNotPromised).
//   - Order: not promised. Requests are handled concurrently, and All yields
//     replies as they arrive (TestAll/in_the_order_of_arrival).
//   - Correlation: a reply that arrives after the timeout is dropped, and never
//     returned for another request (TestLateReply, TestLateReplyNaive,
//     TestFaults).
//   - Concurrency: a slow request does not block others, up to Concurrency at
//     once (TestConcurrent).
//   - Many replies: All ends after Max replies, after Stall without a reply, or
//     with its ctx (TestAll).
//   - Shutdown: Run sends the replies of the requests in flight. Other requests
//     fail with code 503 or [ErrNoResponders] (TestStop). The ctx of the
//     handlers ends after Grace (TestStopGrace), also while disconnected
//     (TestStopCutOff).
//   - Streams: a Request on a subject that a stream captures fails with
//     [ErrCaptured] (TestCaptured, TestCapturedAndRefused).
//
// # Limits
//
//   - A request or reply must fit max_payload (1 MB by default), otherwise it
//     fails with ErrTooLarge or code 500 (TestErrors).
//   - The text of an Error is truncated to 4,096 bytes, and a subject has at
//     most 1,024 bytes (TestLongInput).
//   - Requests over Concurrency wait in the client, in the pending limits of
//     nats.go.
//   - A handler must return when its ctx ends. Run waits at most 2 Grace for
//     it, and returns an error after that.
//   - Each token of a subject, and the name of a service, is 1 to 64 of A-Z a-z
//     0-9 _ - (TestErrors).
//
// # When not to use it
//
//   - The work must be done although the requester crashes: use queueing.
//   - No reply is needed: use pubsub.
//   - The reply is a long list: use datapump.
//
// # Related patterns
//
// queueing stores a job until a worker is free. controlplane stores the state
// that instances must reach, for instances that are down. datapump streams
// large results.
//
// # Also known as
//
// Request-Reply, Return Address, Command Message, Remote Procedure Invocation
// (EIP); RPC, scatter-gather ([All]).
//
// # Kind
//
// Messaging
package requestreply
