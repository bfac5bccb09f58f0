// Package pubsub publishes typed messages on subjects to any number of
// subscribers; the publisher does not know them.
//
// # Intent
//
// Publish an event once, and let each interested service subscribe to the part of
// the subject tree that it needs. Publishers and subscribers start and stop
// independently of each other.
//
// # Forces
//
//   - A service that calls each interested service must know them all. It waits
//     for the slowest, and fails when one of them fails.
//   - A publisher that does not wait is not notified when there are no subscribers.
//   - Memory is finite: when a subscriber is slower than its publishers, messages
//     are dropped, or the publishers wait.
//
// # On NATS
//
// [Publish] sends JSON on a subject. A [Subscriber] subscribes to a subject or to
// a subtree: * matches one token, and > at the end matches all following tokens.
// The subject shows the kind of the message. A command is imperative
// (orders.order-7.cancel), a query names what it reads (orders.order-7.get, see
// requestreply), and an event is in the past tense (orders.order-7.cancelled). The
// identity is in the subject, because NATS routes by it; facts are in the payload.
// The package uses core NATS: the server stores nothing. Every version works.
//
// # Guarantees
//
//   - Delivery: every subscriber with a matching pattern receives a message at most
//     once. It receives the message exactly once if it is connected and fast enough
//     (TestSubscriber, TestEverySubscriber, TestConformance).
//   - Loss: not prevented, and the publisher is not notified. A message is lost if
//     there is no subscriber, or while the subscriber is disconnected
//     (TestNoSubscriber, TestDisconnected). When more than Prefetch messages or
//     64 MiB wait for the handler, the newest are dropped, and their number is
//     logged (TestSlowSubscriber).
//   - Duplication: none; a failed message is not retried (TestHandlerFails).
//   - Order: the messages of one publisher are handled one at a time, in the order
//     in which it published them (TestOrder).
//   - Delay: not promised. What a publisher publishes while it is disconnected is
//     sent when it has reconnected (TestDisconnected).
//   - Failure: an error, a panic and a body that cannot be decoded are logged, and
//     the subscription goes on (TestHandlerFails).
//   - Shutdown: when ctx ends, Run handles the messages that it received before, for
//     at most Grace (TestStop, TestStopDisconnected, TestGrace).
//
// # Limits
//
//   - A subject has at most 1,024 bytes, and each token is 1 to 64 of
//     A-Z a-z 0-9 _ - (TestErrors, TestLongSubject, TestTokens).
//   - A message must fit max_payload, 1 MB by default (TestErrors).
//   - Prefetch is at most 65,536 messages (TestErrors).
//   - One slow message delays all messages behind it in the same Subscriber.
//   - A Subscriber that is never Run keeps a goroutine after the first message.
//
// # When not to use it
//
//   - A message must not be lost: use durable or eventstore.
//   - One of several workers handles each message: use queueing.
//   - The publisher needs a reply: use requestreply.
//
// # Related patterns
//
// queueing distributes messages to workers instead of copying them to all.
// durable stores messages for subscribers that are not connected. heartbeat and
// envelope are built on publish-subscribe.
//
// # Also known as
//
// Publish-Subscribe Channel, Message Channel, Event Message, Messaging (EIP);
// observer, fan-out, topic exchange.
//
// # Kind
//
// Messaging
package pubsub
