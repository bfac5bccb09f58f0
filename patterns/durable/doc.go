// Package durable publishes messages until the server confirms that they are
// stored, and delivers them to durable subscribers, also after an outage of
// either side.
//
// # Intent
//
// Store a message before its publisher continues. Deliver it to each
// subscriber, also if the publisher, the subscriber or the server crashes.
//
// # Forces
//
//   - When no ack arrives, the publisher cannot tell whether the message or the
//     ack was lost.
//   - Each confirmation costs a round trip. Waiting for each message limits the
//     rate; not waiting gives up the order of retries.
//   - No delivery guarantee covers the effect of a message: a process can crash
//     between the effect and the ack.
//
// # On NATS
//
// The package uses JetStream, because core NATS stores nothing. [Publish]
// stores a message on durable.<topic>.<id> in the stream DURABLE_<topic>, with
// the ID as Nats-Msg-Id, and waits for the ack. Without an ack it publishes the
// message again with the same ID, for at most 30 s. A [Publisher] does so with
// up to MaxInFlight messages in flight.
//
// A [Subscriber] is a durable consumer with MaxAckPending 1: it handles one
// message at a time, and retries it before the next one. Run receives messages
// as they arrive, and Poll receives those that are stored. Both repeat an ack
// until the server confirms it. Reset needs nats-server 2.14.
//
// # Guarantees
//
//   - Loss: a message is stored if Publish or Flush returns nil. This holds if
//     the server crashes before the ack, the client disconnects, or the
//     stream's leader stops (TestPublish, TestPublisher, TestCluster).
//     Each subscriber handles it at least once (TestSweep,
//     TestSweepFindsMutants). A full stream refuses messages and drops none
//     (TestNotPromised/a_stream_with_discard_old_drops_unread_messages).
//   - Errors: a message that is not confirmed is an error that names it. Flush
//     and Close return each failed message once (TestPublisherBounds).
//   - Duplication: a message is stored once within the duplicate window
//     (TestKilledBetween), and is not published again after it
//     (TestBeyondWindow). A lost ack or a long outage does not repeat the
//     handler (TestAckConfirmed, TestAckRetried). A crash between effect and
//     ack does (TestNotPromised/a_processed_message_is_not_acknowledged), and
//     so does a disconnect longer than AckWait while another process has the
//     name (TestDisconnectedBeyondAckWait).
//   - Order: Publish, one message after the other, keeps the order. A Publisher
//     does not promise it: a message that is retried is overtaken (TestOrder).
//     A subscriber handles messages in stream order, and none overtakes one
//     that is retried (TestFailing, TestSweep). Two processes with one name
//     share the messages (TestSlow).
//   - Delay: not promised. Publish takes up to 30 s (TestPublish), and a
//     failing message delays all messages behind it (TestFailing).
//   - Resume: a subscriber continues where it stopped (TestResume, TestPoll).
//     Replay reads messages again and moves no subscriber. Reset moves one
//     (TestReplayAndReset, TestResetInFlight).
//   - Retry: a failed message is retried after Backoff, doubled up to one
//     minute, without a limit. A poison message is terminated and stays stored
//     (TestFailing). A panic is an error (TestPanic).
//   - Shutdown: Run finishes the running handler within Grace and acks its
//     message (TestStop). It returns an error if the consumer, the stream or
//     the connection is gone (TestDeleted, TestClosedConnection).
//   - Effects: not promised. A stored message can expire if an operator sets a
//     MaxAge, an ack does not prove an effect, and memory or one disk can fail
//     (TestNotPromised).
//
// # Limits
//
//   - Stored messages are never removed, and MaxBytes 0 is unlimited. Purge
//     what all subscribers have handled: nats stream purge DURABLE_<topic>
//     --seq=N.
//   - An ID names one content: within the duplicate window, another body with
//     the same ID is dropped as a duplicate (TestNotPromised).
//   - A subscriber handles one message per round trip. For parallel work use
//     perkey or queueing.
//   - Each subscriber is a consumer of the stream. Plan for at most 1,000 of
//     them.
//   - A handler must return when its context ends: Run waits for it.
//   - A message with its headers must fit max_payload, 1 MB by default
//     (TestBadInput). Nats-* headers of the publisher are dropped
//     (TestHeaders).
//   - A power failure can lose confirmed messages unless the server runs with
//     sync_interval: always, or the stream has three replicas on separate
//     machines.
//   - A topic, a subscriber and an ID are 1 to 64 of A-Z a-z 0-9 _ -
//     (TestBadInput).
//
// # When not to use it
//
//   - The next message makes this one worthless: use pubsub.
//   - Any of several workers may handle a message: use queueing.
//   - The messages are the state: use eventstore.
//
// # Related patterns
//
// queueing distributes messages to workers. eventstore appends with optimistic
// concurrency. idempotent makes a handler safe against duplicates. outbox
// publishes what a database transaction inserted.
//
// # Also known as
//
// Guaranteed Delivery, Durable Subscriber, Event-Driven Consumer, Polling
// Consumer (EIP); assured delivery, store and forward, publisher confirms,
// durable subscription.
//
// # Kind
//
// Delivery
package durable
