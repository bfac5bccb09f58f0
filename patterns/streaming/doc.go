// Package streaming turns a stream of events into results as they happen, and tells
// browsers: clean, filter, enrich, add up by windows of time; nothing lost or doubled.
//
// # Intent
//
// From data without end, make information, now, on a web page.
//
// # Forces
//
//   - Events come late and from wrong clocks: no window is ever surely complete.
//   - A processor that crashes must neither forget its windows nor count events again.
//   - Browsers come and go, and one that does not read must not hold up the others.
//
// # On NATS
//
// [Send] stores events on feed.<flow>.<key> in the stream FEED_<flow>. A [Processor]
// reads it in order, without acks, and stores results on results.<flow>.<key>,
// events that do not count on refused.<flow>.<key>, open windows on state.<flow>.> and
// its position, all in the stream RESULTS_<flow>: so that they are one atomic batch,
// conditional on the position before. A [Server] reads a stream, this one or another,
// once for all its clients; the id of an event is its sequence there. Needs NATS 2.12.
//
// # Guarantees
//
//   - Nothing is lost or doubled: whatever is cut, killed, replaced or restarted, each
//     stored event is in one result, or refused with the reason, or skipped by Clean
//     (TestSweep, TestSweepFindsForgetful, TestLateAnswer). One removed from the feed unread is counted
//     as Missed (TestProcessor/events_removed).
//   - Two Processors of a flow never both work: the last to Run takes over, and the other
//     can store nothing more and ends with ErrFenced (TestFenced).
//   - A window counts an event by when it happened, if that is no more than Lateness
//     before a younger one; a later one is refused. It closes by the next event or, in
//     silence, by the server's clock, Idle later. A sender's clock that is ahead makes
//     nobody late (TestProcessor, TestClocks).
//   - Order: results of a key come in the order of their windows (TestOrder). Events
//     of one sender count in the order sent, across senders as stored.
//   - What cannot be decoded, or added up and stored, or panics, is refused and holds up
//     nobody (TestProcessor, TestSums). A feed made anew is noticed while shorter (TestReplaced).
//   - Last-Event-ID brings a browser all that its subject was told since, in order and once,
//     from any Server (TestServer, TestResume, TestWhileCatchingUp, TestServerBehind).
//   - A slow client is cut, and delays no other (TestSlowClient, BenchmarkStalledClient);
//     a silent one is kept (TestSilence). Nobody holds up the end of a Server (TestEndsWhileCatchingUp).
//   - Pages from elsewhere cannot read, by cross-site request or by a name made to
//     point here; data cannot forge events (TestAdmission, TestServer, TestServerLimits).
//   - Not promised: what is older than Keep is not told to one who comes back
//     (TestNotPromised). Send without an ID may store twice (TestNotPromised).
//
// # When not to use it
//
// For each event by itself, queueing. For joins over terabytes, Flink. To hear too, WebSocket.
//
// # Related patterns
//
// eventstore, whose stream can be served here; pubsub, which tells services; queueing.
//
// # Also known as
//
// Aggregator, Message Filter, Content Enricher, Durable Subscriber; stream processing,
// windowed aggregation, transactional state store, server-sent events, EventSource.
package streaming
