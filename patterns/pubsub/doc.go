// Package pubsub lets whoever cares hear what happened, without the one who tells
// it knowing who that is.
//
// # Intent
//
// Publish typed messages on a tree of subjects; subscribe to any part of the tree.
// Publishers and subscribers come and go independently of each other.
//
// # Forces
//
//   - Who calls each interested party has to know them all, waits for the slowest
//     and fails with the first.
//   - Who is not asked to wait is not told whether anyone listened.
//   - A subscriber that is slower than its publishers must lose something, or hold
//     everyone up: memory is finite.
//
// # On NATS
//
// [Publish] sends JSON on a subject; a [Subscriber] takes a subject or a part of
// the tree, where * stands for one token and > for all the rest. The subject says
// what kind of message it is: a command is imperative and names whom it asks
// (orders.order-7.cancel), a query asks for what is (orders.order-7.get, answered
// by package requestreply), an event is past tense (orders.order-7.cancelled).
// Identity stands in the subject, where NATS routes by it; facts in the payload.
// This is core NATS: nothing is stored, which is why it is fast and forgetful.
//
// # Guarantees
//
//   - Every subscriber whose pattern matches gets a message once at most, and once
//     if it was subscribed and could keep up (TestSubscriber, TestEverySubscriber).
//   - One publisher's messages are handled in the order in which it published
//     them, one at a time (TestOrder).
//   - Loss is silent for the publisher: with nobody subscribed, or while a
//     subscriber is cut off, a message is gone (TestNobodyThere, TestCutOff).
//   - A subscriber that falls behind by more than Pending messages, or 64 MiB, loses
//     the newest, and is told how many (TestSlowSubscriber).
//   - A handler that returns an error or panics, and a body that does not decode,
//     are reported, and the subscription goes on (TestHandlerFails).
//   - When ctx ends, Run handles what had been received and only then returns,
//     within Grace (TestStop, TestStopGrace).
//
// # When not to use it
//
// When a message must not be lost, use package eventstore or a stream; when one
// worker must do it, queueing; when you need the answer, requestreply.
//
// # Related patterns
//
// queueing shares the work out instead of copying it; streaming keeps what passed,
// for those who come later; heartbeat is built on this.
//
// # Also known as
//
// Publish-Subscribe Channel, Message Channel, Event Message, Messaging (EIP);
// Observer over a network; fan-out, topic exchange.
package pubsub
