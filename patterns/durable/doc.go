// Package durable publishes messages that are known to be stored, and gives them to
// subscribers who were away: guaranteed delivery, what it costs, and what it is not.
//
// # Intent
//
// A message outlives its sender's crash, its reader's absence and the server between.
//
// # Forces
//
//   - Whoever has no answer does not know: lost on the way there, or on the way back?
//   - Each promise costs a round trip; waiting for each message costs one per message.
//   - No promise of the channel reaches past the channel: only the effect can tell
//     whether it took place.
//
// # On NATS
//
// [Publish] stores a message on durable.<topic>.<id> in the stream DURABLE_<topic>, under
// the id as Nats-Msg-Id, and waits for the PubAck; without one it publishes the same
// again, until it is answered or [Patience] is over. A [Publisher] does so with a window
// of messages on their way. A [Subscriber] is a durable consumer with one message out at a
// time, pulled by Run as it comes or by Poll on demand, and acked until the server
// confirms the ack. JetStream, as core NATS remembers nothing. Needs NATS 2.14 for Reset.
//
// # Guarantees
//
//   - What Publish, or Flush, returns nil for is stored, once within the dedupe window,
//     though the server is killed between publish and ack, lines are cut (TestPublish,
//     TestKilledBetween, TestPublisher, TestOutlastsWindow) or the leader of a cluster goes (TestCluster). It is handled at least
//     once (TestSweep, TestSweepFinds), and not lost to a full topic, which refuses
//     (TestFallacy/stored_in_a_stream_that_drops).
//   - What is not confirmed is an error that names it, never silence, and memory is bounded
//     by the window (TestPublisherBounds).
//   - A subscriber resumes where it stopped, in the order stored; one that fails is tried
//     again later and overtaken by none (TestResume, TestFailing, TestPoll, TestSlow,
//     TestSweep). Two processes of one name take turns (TestSlow), unless one is cut off.
//   - Order of publishing is kept by Publish, one after the other; a Publisher does not
//     promise it: what is published again is overtaken (TestOrder).
//   - Handled twice: only if between effect and ack the process dies, or is stopped while
//     cut off (TestFallacy/processed_is_not_acknowledged), or is cut off for longer than AckWait
//     while another of its name runs, who also overtakes it (TestCutOffTwin). A lost ack or a
//     long outage is not enough (TestConfirm, TestConfirmLate). Run stopped finishes what is in hand, within Grace (TestStop).
//   - Replay reads again and moves nobody, Reset sends a subscriber back (TestReplayAndReset, TestResetInHand).
//   - Delay is not promised: a publish takes up to Patience (TestPublish), and a message that
//     fails holds up all behind it (TestFailing).
//   - Not promised, and made to happen (TestFallacy): that what is stored is delivered, or
//     processed; that an ack is an effect; that an id is known for ever; that another body
//     under a known id is stored; that memory, or one disk, lasts.
//
// # When not to use it
//
// For what the next message makes worthless, pubsub. For work to be shared, queueing. For
// facts that are the state, eventstore.
//
// # Related patterns
//
// queueing hands each message to one of many; eventstore decides on what is stored.
//
// # Also known as
//
// Guaranteed Delivery, Durable Subscriber, Event-Driven Consumer, Polling Consumer; assured
// delivery, store and forward, publisher confirms, durable subscription.
package durable
